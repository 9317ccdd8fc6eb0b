"""What the report says about corruptions."""

from dataclasses import dataclass
from functools import cached_property
from math import isnan, nan
from typing import TYPE_CHECKING

from torch import Tensor

from callbacks.corruption_baselines import Errors, Trial
from callbacks.figures import INK, blank_drawing
from callbacks.sections import Block, Card, Cell, Figure, Gallery, Section, Table, Text
from corruptions import COMMON, SEVERITIES
from metrics import corruption_errors, relative_corruption_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True)
class Comparison:
    """A network's errors, and those of a baseline where there is one.

    Attributes:
        trial: what was classified.
        errors: of the network.
        baseline: of the baseline, for the same images.
        name: the baseline's.
    """

    trial: Trial
    errors: Errors
    baseline: Errors | None = None
    name: str = ""

    @cached_property
    def ratios(self) -> Tensor | None:
        """Corruption error of each corruption, in percent of the baseline's."""
        return corruption_errors(self.errors.corrupted, self.baseline.corrupted) if self.baseline else None

    @cached_property
    def relative(self) -> Tensor | None:
        """Relative corruption error of each corruption, in percent of the baseline's."""
        if self.baseline is None:
            return None
        ours, theirs = self.errors, self.baseline
        return relative_corruption_errors(ours.corrupted, ours.clean, theirs.corrupted, theirs.clean)

    @property
    def undefined(self) -> str:
        """A sentence on the corruptions that allow no figure; empty where all do."""
        if self.ratios is None or self.relative is None:
            return ""
        unerring, unmoved = self._undefined(self.ratios), self._undefined(self.relative)
        found = [f"no MCE: the baseline makes no mistake under {unerring}"] if unerring else []
        found += [f"no relative MCE: nothing is added to the baseline's clean error by {unmoved}"] if unmoved else []
        remedy = (
            ", so that the ratio means nothing; take more images or another baseline, or leave it out of corruptions"
        )
        return " and ".join(found) + remedy if found else ""

    def _undefined(self, ratios: Tensor) -> str:
        return ", ".join(name for name, value in zip(self.trial.corruptions, ratios.tolist()) if isnan(value))

    def figures(self) -> dict[str, float]:
        """What is logged: all error rates, their mean, MCE and relative MCE in percent, and what was classified."""
        trial = self.trial
        found = {**trial.fingerprints, "clean": float(self.errors.clean)}
        for name, row in zip(trial.corruptions, self.errors.corrupted.tolist(), strict=True):
            found |= {f"{name}/{severity}": rate for severity, rate in zip(trial.severities, row, strict=True)}
        found["mean_error"] = float(self.errors.corrupted.mean())
        if self.ratios is not None and self.relative is not None:
            found |= {"mce": float(self.ratios.mean()), "relative_mce": float(self.relative.mean())}
        return {name: float(value) for name, value in found.items()}


def corruption_section(comparison: Comparison, strip: Tensor | None) -> Section:
    """Heat map, table, and one image under every corruption."""
    trial, figures = comparison.trial, comparison.figures()
    blocks: list[Block] = [Text(words(comparison, figures))]
    blocks.append(Figure(draw_errors(comparison), "Error rate in percent, by corruption and severity."))
    blocks.append(error_table(comparison))
    if strip is not None:
        severity = trial.severities[len(trial.severities) // 2]
        caption = f"The first test image, clean and under each corruption at severity {severity}."
        blocks.append(Gallery(strip, ["clean", *(name.replace("_", " ") for name in trial.corruptions)], caption))
    card = Card("Mean error under corruption", f"{100 * figures['mean_error']:.1f} %", f"{trial.images:,} images")
    cards = [card]
    for name, title in (("mce", "MCE"), ("relative_mce", "Relative MCE")):
        if not isnan(figures.get(name, nan)):
            cards.append(Card(title, f"{figures[name]:.2f}", "100: as bad as the baseline"))
    return Section("Corruption errors", blocks, order=36, cards=cards)


def words(comparison: Comparison, figures: dict[str, float]) -> str:
    """What was done and found."""
    trial = comparison.trial
    text = (
        f"{trial.images:,} test images were classified under {len(trial.corruptions)} corruptions at severities "
        f"{', '.join(map(str, trial.severities))} (Hendrycks & Dietterich 2019). Clean error: "
        f"{100 * figures['clean']:.2f} %; mean error under corruption: {100 * figures['mean_error']:.2f} %."
    )
    if set(trial.corruptions) != set(COMMON) or set(trial.severities) != set(SEVERITIES):
        text += " These are not the benchmark's 15 corruptions at 5 severities: its published figures do not compare."
    if "mce" in figures:
        mce, relative = shown(figures["mce"]), shown(figures["relative_mce"])
        text += (
            f"\n\nBeside {comparison.name}: MCE {mce}, relative MCE {relative}. CE "
            "is the error summed over severities in percent of the baseline's, relative CE the same of what corruption "
            "adds to the clean error; MCE and relative MCE are their means over the corruptions. Below 100 is better."
        )
    return text + (f"\n\nThere is {comparison.undefined}." if comparison.undefined else "")


def shown(ratio: float) -> str:
    """With two digits, or a word."""
    return "undefined" if isnan(ratio) else f"{ratio:.2f}"


def error_table(comparison: Comparison) -> Table:
    """One row per corruption, rates in percent."""
    trial, table = comparison.trial, 100 * comparison.errors.corrupted
    header = ["corruption", *(f"severity {severity}" for severity in trial.severities), "mean"]
    rows: list[list[Cell]] = [[name, *row.tolist(), float(row.mean())] for name, row in zip(trial.corruptions, table)]
    if comparison.ratios is not None and comparison.relative is not None:
        header += ["CE", "relative CE"]
        pairs = zip(comparison.ratios.tolist(), comparison.relative.tolist())
        rows = [[*row, *pair] for row, pair in zip(rows, pairs, strict=True)]
    return Table(header, rows, "Error rates, CE and relative CE in percent.")


def draw_errors(comparison: Comparison) -> "Drawing":
    """Error rates, corruptions down and severities across; the colour runs from none to all wrong."""
    from matplotlib.colors import LinearSegmentedColormap

    trial, rates = comparison.trial, comparison.errors.corrupted
    drawing, axes = blank_drawing(1.8 + 0.62 * len(trial.severities), 0.8 + 0.3 * len(trial.corruptions))
    red = LinearSegmentedColormap.from_list("errors", [(0.77, 0.31, 0.32, 0.0), (0.77, 0.31, 0.32, 1.0)])
    axes.imshow(rates.numpy(), cmap=red, vmin=0, vmax=1, interpolation="none", aspect="auto")
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(len(trial.severities)), labels=[str(severity) for severity in trial.severities])
    axes.set_yticks(range(len(trial.corruptions)), labels=[name.replace("_", " ") for name in trial.corruptions])
    axes.set_xlabel("severity", color=INK, fontsize=9)
    for row, line in enumerate(rates.tolist()):
        for column, rate in enumerate(line):
            colour = "white" if rate > 0.55 else INK
            axes.text(column, row, f"{100 * rate:.1f}", color=colour, ha="center", va="center", fontsize=8)
    return drawing
