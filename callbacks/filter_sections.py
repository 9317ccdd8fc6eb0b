"""What the report says of a network's filters."""

from collections.abc import Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

from torch import Tensor

from callbacks.figures import Series, draw_curves
from callbacks.filter_figures import (
    ANOMALY,
    draw_correlation_counts,
    draw_correlations,
    draw_drops,
    draw_removed,
    pairs_of,
    short,
)
from callbacks.filter_findings import Findings, spread
from callbacks.sections import Block, Card, Cell, Columns, Figure, Section, Table, Text
from pruning import chance_correlation, expected_overlap

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

LISTED, CURVES = 12, 6  # layers in a table, and in one drawing


def orthogonality_section(
    sums: Mapping[str, Series], shapes: Mapping[str, tuple[int, int]], history: Sequence[Mapping[str, Any]] = ()
) -> Section:
    """How much the filters of each layer overlapped in the course of a training.

    Args:
        sums: Σ |cos| over the pairs of a layer's filters, by layer, as [[epoch, sum], …].
        shapes: of each layer, how many filters it has and how long they are.
        history: what left in which cycle, see ``draw_removed``; drawn where there is any.
    """
    total = total_of(sums)
    (first, start), (last, end) = total[0], total[-1]
    words = (
        "The sum of |cos| over the pairs of filters of a layer is 0 if all are orthogonal; filters that are away don't "
        f"count. Over all layers it was {start:,.1f} after epoch {first + 1:.0f} and {end:,.1f} after epoch "
        f"{last + 1:.0f}. Divided by what random filters of the same length would have, layers can be compared."
    )
    caption = f"The sum beside that of random filters, which is 1{of_all(compared(shapes), sums)}."
    figure = Figure(draw_relative(sums, shapes), caption)
    blocks: list[Block] = [Text(words), Columns([figure, overlap_table(sums, shapes)])]
    if history:
        filters = {name: shape[0] for name, shape in shapes.items()}
        blocks.append(Figure(draw_removed(history, filters), "Filters that left, by layer and cycle."))
    return Section("Filter orthogonality", blocks, order=31)


def filter_sections(findings: Findings, layers: int) -> list[Section]:
    """What a test found out about some of a network's layers."""
    words = "Shown: all layers."
    if (shown := len(findings.filters)) < layers:
        words = f"Shown: {shown} of {layers} layers, at equal distances from the first to the last."
    sections = [correlation_section(findings, words)]
    return sections if findings.drops is None else [*sections, drop_section(findings.images, findings.drops, words)]


def correlation_section(findings: Findings, layers: str) -> Section:
    """How much the maps of a layer's filters repeat each other; ``layers`` says which are shown."""
    chance = chance_correlation(findings.images)
    words = (
        f"The first canonical correlation between the maps of every two filters of a layer, over {findings.images:,} "
        f"test images: 1 where one map follows from the other; unrelated maps reach about {chance:.2f} by chance. "
        f"Prakash calls more than {ANOMALY} an anomaly, but on natural images random orthogonal filters have more, so "
        "compare networks with each other rather than with this line."
    )
    if chance > ANOMALY:
        words += f" Here, {ANOMALY} is even below chance: look at 1,000 images, if there are as many."
    by_layer = "Each square is a pair of filters, in their order in the layer."
    counts = f"Pairs of filters by correlation: {ANOMALY} is orange, chance is dashed."
    blocks = [
        Text(f"{words}\n\n{layers}"),
        Figure(draw_correlations(findings.correlations), by_layer),
        Figure(draw_correlation_counts(findings.correlations, chance), counts),
        correlation_table(findings),
    ]
    return Section("Filter correlations", blocks, order=32)


def drop_section(images: int, drops: Mapping[str, Tensor], layers: str) -> Section:
    """What is lost without each filter; ``layers`` says which are shown."""
    free, total = sum(map(without_loss, drops.values())), sum(map(len, drops.values()))
    words = (
        f"Each filter was removed alone, and the accuracy on {images:,} test images measured without it; one "
        f"image is {100 / images:.2g} points. {free:,} of {total:,} filters can be removed singly without loss, "
        "which does not mean that they can be removed together."
    )
    caption = (
        "Accuracy in points that is lost without a filter, in each layer from the most needed on; logarithmic above "
        "one point."
    )
    blocks = [Text(f"{words}\n\n{layers}"), Figure(draw_drops(drops), caption), drop_table(drops)]
    card = Card("filters without loss", f"{free:,} of {total:,}", f"removed singly, {images:,} test images")
    return Section("Accuracy without each filter", blocks, order=33, cards=[card])


def total_of(sums: Mapping[str, Series]) -> list[list[float]]:
    """The sum over layers, as [[epoch, sum], …]."""
    return [[points[0][0], sum(point[1] for point in points)] for points in zip(*sums.values())]


def compared(shapes: Mapping[str, tuple[int, int]]) -> list[str]:
    """The layers with a curve of their own."""
    return spread([name for name, (filters, _) in shapes.items() if filters > 1], CURVES)


def draw_relative(sums: Mapping[str, Series], shapes: Mapping[str, tuple[int, int]]) -> "Drawing":
    """Sums of |cos| over the epochs, divided by those of random filters."""
    curves = {
        name: [[epoch, value / random_sum(*shapes[name])] for epoch, value in sums[name]] for name in compared(shapes)
    }
    drawing = draw_curves("", curves)
    legend = drawing.axes[0].get_legend()
    for words in legend.get_texts() if legend else ():
        words.set_text(short(words.get_text(), 18))
    return drawing


def random_sum(filters: int, length: int) -> float:
    """Σ |cos| over the pairs of random filters."""
    return filters**2 * expected_overlap(filters, length)


def overlap_table(sums: Mapping[str, Series], shapes: Mapping[str, tuple[int, int]]) -> Table:
    """The mean |cos| of some layers at both ends of the training."""
    names = spread(list(sums), LISTED)
    rows = [[name, shapes[name][0], *overlap_cells(sums[name], *shapes[name])] for name in names]
    first, last = sums[names[0]][0][0] + 1, sums[names[0]][-1][0] + 1
    header = ["layer", "filters", f"epoch {first:.0f}", f"epoch {last:.0f}", "random"]
    return Table(header, rows, f"Mean |cos| of two filters{of_all(names, sums)}.")


def overlap_cells(series: Series, filters: int, length: int) -> list[Cell]:
    """The mean |cos| of a layer's pairs, at both ends and by chance; a single filter overlaps with nobody."""
    values, pairs = (series[0][1], series[-1][1], random_sum(filters, length)), filters * (filters - 1)
    return [value / pairs if pairs else None for value in values]


def of_all(names: Sized, layers: Sized) -> str:
    """How many layers are shown, where it is not all of them."""
    return f"; {len(names)} of {len(layers)} layers" if len(names) < len(layers) else ""


def correlation_table(findings: Findings) -> Table:
    """Correlations by layer, in figures."""
    rows: list[list[Cell]] = []
    for name, values in findings.correlations.items():
        pairs = pairs_of(values)
        share = float((pairs > ANOMALY).double().mean())
        rows.append([name, findings.filters[name], len(values), float(pairs.mean()), float(pairs.median()), share])
    header = ["layer", "filters", "compared", "mean", "median", f"share above {ANOMALY}"]
    return Table(header, rows, "Correlations of pairs of filters.")


def drop_table(drops: Mapping[str, Tensor]) -> Table:
    """Drops by layer, in figures."""
    rows: list[list[Cell]] = [
        [name, len(values), 100 * float(values.mean()), 100 * float(values.max()), without_loss(values)]
        for name, values in drops.items()
    ]
    return Table(["layer", "filters", "mean drop", "largest drop", "without loss"], rows, "Drops in points.")


def without_loss(drops: Tensor) -> int:
    """How many filters can be removed, one at a time, without a drop."""
    return int((drops <= 0).sum())
