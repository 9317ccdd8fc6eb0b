"""What RePr says in the report."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lightning import Trainer

from callbacks.figures import LINE, draw_curves
from callbacks.report import Report
from callbacks.sections import Block, Card, Cell, Figure, Section, Table, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from callbacks.repr import RePr

HEADER = ["cycle", "left before", "filters", "returned before", "orthogonal to all", "to the survivors", "to nobody"]


def pruning_section(callback: "RePr", trainer: Trainer) -> Section:
    """The cycles of a training: when filters left, from where, and how much room they found on their return."""
    from callbacks.filter_figures import draw_removed

    history, total = callback.pruned_history, {site.name: site.filters for site in callback.sites}
    left = sum(map(len, history[0]["removed"].values()))
    words = (
        f"In {len(history)} of {callback.phases.cycles} cycles, {left} of {sum(total.values())} filters left for "
        f"{callback.phases.pruned} {callback.unit}s, those of the lowest importance by "
        f"{type(callback.ranking).__name__}, and returned with new weights, orthogonal to the others where there was "
        "room."
    )
    blocks: list[Block] = [Text(words)]
    if (curves := accuracies(trainer)) and callback.unit == "epoch":
        spans = [(entry["position"], entry.get("returned")) for entry in history]
        caption = "Accuracy over the epochs; filters were away where it is shaded."
        blocks.append(Figure(draw_phases(curves, spans), caption))
    blocks.append(Figure(draw_removed(history, total), "Filters that left, by layer and cycle."))
    blocks.append(Table(HEADER, [cycle_row(entry, callback.unit) for entry in history], "Where they found room."))
    card = Card("Filters renewed", f"{left} of {sum(total.values())}", f"in each of {len(history)} cycles")
    return Section("RePr", blocks, order=30, cards=[card])


def accuracies(trainer: Trainer) -> dict[str, Sequence[Sequence[float]]]:
    """The curves that the report has noted."""
    reports = [one for one in trainer.callbacks if isinstance(one, Report)]  # type: ignore[attr-defined]
    history = reports[0].history if reports else {}
    return {name: history[name] for name in ("train/acc", "val/acc") if history.get(name)}


def draw_phases(curves: Mapping[str, Sequence[Sequence[float]]], spans: Sequence[tuple[int, int | None]]) -> "Drawing":
    """Curves over epochs, shaded from the first to before the last epoch of each span, which are counted from 0."""
    drawing = draw_curves("Accuracy", curves)
    (axes,) = drawing.axes
    _, right = axes.get_xlim()
    for start, stop in spans:
        axes.axvspan(start + 0.5, right if stop is None else stop + 0.5, color=LINE, alpha=0.3, linewidth=0)
    axes.set_xlim(right=right)
    return drawing


def cycle_row(entry: Mapping[str, Any], unit: str) -> list[Cell]:
    """One cycle; epochs and steps are counted from 1."""
    tiers = [sum(column) for column in zip(*entry.get("tiers", {}).values())] or [None] * 3
    returned = f"{unit} {entry['returned'] + 1:,}" if "returned" in entry else "not yet"
    left = sum(map(len, entry["removed"].values()))
    return [entry["cycle"] + 1, f"{unit} {entry['position'] + 1:,}", left, returned, *tiers]
