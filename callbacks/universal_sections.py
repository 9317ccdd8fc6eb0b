"""What the report says about universal perturbations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from lightning import Trainer
from torch import Tensor

from attacks.interpolation import LAMS
from callbacks.figures import COLOURS, INK, LINE, blank_drawing
from callbacks.predictions import class_names
from callbacks.reporting.pictures import tile, to_bytes
from callbacks.sections import Block, Card, Cell, Figure, Gallery, Section, Table, Text
from callbacks.universal_crafts import Craft
from callbacks.universal_trials import Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass
class Findings:
    """What is known of the perturbations.

    Attributes:
        crafts: how they were made, by name, where that was in this run.
        networks: names of the networks that were attacked; none before a test.
        vectors: the perturbations (C, H, W) that were measured, by name.
        plain: fooling rates (perturbations, networks) of x + v on test images.
        clipped: the same with x + v cut to [0, 1].
        mixed: fooling rates (21, networks) of interpolations, where they were measured.
        lam: the λ that is best on the images of the crafting.
        shown: the first test images.
        images: how many test images there were.
    """

    crafts: Mapping[str, Craft]
    networks: Sequence[str] = ()
    vectors: Mapping[str, Tensor] = field(default_factory=dict)
    plain: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    clipped: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    mixed: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    lam: float | None = None
    shown: Samples | None = None
    images: int = 0

    def figures(self, prefix: str) -> dict[str, float]:
        """Everything that is logged, by name; ``mean`` is that over all networks."""
        found: dict[str, float] = {}
        for kind, rates in ((prefix, self.plain), (f"{prefix}_clipped", self.clipped)):
            found |= table_figures(kind, list(self.vectors), self.networks, rates)
        if self.lam is not None:
            names = [f"lambda_{lam:.2f}" for lam in LAMS]
            found |= table_figures(f"{prefix}/interpolation", names, self.networks, self.mixed)
            found[f"{prefix}/interpolation/lambda"] = self.lam
        for name, craft in self.crafts.items():
            found[f"{prefix}/{name}/crafting"] = float(craft.rates[-1].mean())
            found[f"{prefix}/{name}/passes"] = float(len(craft.rates))
            for work, count in zip(("forward_passes", "backward_passes", "updates"), craft.costs.tolist(), strict=True):
                found[f"{prefix}/{name}/{work}"] = float(count)
        return found


def table_figures(prefix: str, rows: Sequence[str], columns: Sequence[str], rates: Tensor) -> dict[str, float]:
    """A matrix by its names, with the mean of each row."""
    wide = torch.cat([rates, rates.mean(1, keepdim=True)], 1).tolist()
    return {
        f"{prefix}/{row}/{column}": rate
        for row, values in zip(rows, wide, strict=True)
        for column, rate in zip([*columns, "mean"], values, strict=True)
    }


def universal_section(findings: Findings, trainer: Trainer) -> Section:
    """The transfer matrix, how it came about, and what it looks like."""
    blocks: list[Block] = []
    cards: list[Card] = []
    if findings.vectors:
        words = (
            f"Each perturbation was added to {findings.images:,} test images, on which none was crafted. Fooled: share "
            "of images whose prediction by the same network changes, right or wrong."
        )
        caption = "Rows are perturbations, columns are the networks that see the images; x + v as it is."
        blocks += [Text(words), matrix(findings, findings.plain, caption)]
        blocks.append(matrix(findings, findings.clipped, "The same with x + v cut to the range of pixels."))
        best = int(findings.plain[:, 0].argmax())
        rate, name = float(findings.plain[best, 0]), list(findings.vectors)[best]
        cards.append(Card("Fooled by one perturbation", f"{100 * rate:.1f}\u00a0%", name))
    if findings.lam is not None:
        caption = f"Interpolations between two perturbations; best on the images of the crafting at λ = {findings.lam}."
        blocks.append(Figure(draw_scan(findings), caption))
    if findings.crafts:
        caption = "Share of the images of the crafting that are fooled after each pass."
        blocks += [Figure(draw_passes(findings.crafts), caption), costs(findings)]
    return Section("Universal perturbations", [*blocks, *galleries(findings, trainer)], order=36, cards=cards)


def matrix(findings: Findings, rates: Tensor, caption: str) -> Table:
    """Shares of fooled images."""
    rows: list[list[Cell]] = [
        [name, *values.tolist(), float(values.mean())] for name, values in zip(findings.vectors, rates, strict=True)
    ]
    return Table(["perturbation", *findings.networks, "mean"], rows, caption)


def costs(findings: Findings) -> Table:
    """What the crafting took."""
    rows: list[list[Cell]] = []
    for name, craft in findings.crafts.items():
        forward, backward, updates = craft.costs.tolist()
        size = [float(craft.perturbation.abs().max()), float(craft.perturbation.norm())]
        rows.append([name, len(craft.rates), updates, forward, backward, *size])
    header = ["perturbation", "passes", "updates", "forward passes", "backward passes", "L∞", "L2"]
    return Table(header, rows, "What the crafting took; sizes in pixels scaled to [0, 1].")


def draw_passes(crafts: Mapping[str, Craft]) -> "Drawing":
    """A line for each perturbation: the mean over the networks that it is meant for."""
    return _lines({name: _numbered(craft.rates.mean(1)) for name, craft in crafts.items()}, "pass")


def draw_scan(findings: Findings) -> "Drawing":
    """A line for each network, over λ."""
    lines = {name: (LAMS, rates.tolist()) for name, rates in zip(findings.networks, findings.mixed.T, strict=True)}
    return _lines(lines, "λ")


def galleries(findings: Findings, trainer: Trainer) -> list[Block]:
    """Each perturbation with images under it; at the end of training, the perturbations alone."""
    shown = findings.shown
    if shown is None:
        alone = {name: amplified(craft.perturbation) for name, craft in findings.crafts.items()}
        return [Gallery(torch.stack(list(alone.values())), list(alone), "The perturbations, amplified.")]
    classes = class_names(trainer, int(max(shown.before.max(), shown.after.max())) + 1)
    blocks: list[Block] = []
    for (name, vector), after in zip(findings.vectors.items(), shown.after, strict=True):
        pairs = zip(shown.before.tolist(), after.tolist(), strict=True)
        labels = [f"v × {factor_of(vector):.3g}", *(f"{classes[new]}\nwas {classes[old]}" for old, new in pairs)]
        caption = f"{name}: the perturbation, and what {findings.networks[0]} sees under it."
        blocks.append(Gallery(pictures(vector, shown.images), labels, caption))
    return blocks


def picture_grids(findings: Findings) -> dict[str, Tensor]:
    """For each perturbation one image (C, H, W) uint8: itself amplified, and images under it."""
    if findings.shown is None:
        return {}
    rows = {name: pictures(vector, findings.shown.images) for name, vector in findings.vectors.items()}
    return {name: tile(to_bytes(row), columns=len(row)) for name, row in rows.items()}


def pictures(vector: Tensor, images: Tensor) -> Tensor:
    """A perturbation amplified, and images (n, C, H, W) under it; (n + 1, C, H, W)."""
    return torch.cat([amplified(vector).unsqueeze(0), (images + vector).clamp(0, 1)])


def factor_of(vector: Tensor) -> float:
    """The factor that makes a perturbation just visible in full."""
    largest = float(vector.abs().max())
    return 0.5 / largest if largest else 1.0


def amplified(vector: Tensor) -> Tensor:
    """A perturbation (C, H, W) about a grey of 0.5, in [0, 1]."""
    return (0.5 + factor_of(vector) * vector).clamp(0, 1)


def _numbered(values: Tensor) -> tuple[list[float], list[float]]:
    return [float(number) for number in range(1, len(values) + 1)], values.tolist()


def _lines(lines: "Mapping[str, tuple[Sequence[float], Sequence[float]]]", label: str) -> "Drawing":
    drawing, axes = blank_drawing(5.2, 2.8)
    for colour, (name, (places, values)) in zip(COLOURS * len(lines), lines.items(), strict=False):
        axes.plot(places, values, color=colour, label=name, linewidth=1.8, marker="o", markersize=3)
    axes.set_ylim(0, 1)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_xlabel(label, color=INK, fontsize=9)
    axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    return drawing
