"""What the report says about attacks."""

from collections.abc import Mapping, Sequence
from math import isfinite, nan
from typing import TYPE_CHECKING

import torch
from lightning import Trainer
from torch import Tensor

from callbacks.figures import COLOURS, INK, LINE, blank_drawing
from callbacks.predictions import class_names
from callbacks.reporting.pictures import tile, to_bytes
from callbacks.sections import Block, Card, Cell, Figure, Gallery, Section, Table, Text
from callbacks.trials import Pictures, Trial, norm_name
from metrics import wilson_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

RATES = ["attack", "fooled", "95 % interval", "accuracy before", "under attack", "median L2", "median L∞"]
PRICE = ["forward passes", "backward passes", "seconds per image"]
COSTS = ["attack", "smallest budget, median", "in the norm", "never fooled", *PRICE]

Figures = Mapping[str, Mapping[str, float]]


def fooling_section(
    trials: Sequence[Trial], figures: Figures, curves: Mapping[str, Tensor], trainer: Trainer
) -> Section:
    """Rates, sizes and costs of each attack; success over the budget; pictures."""
    images = int(trials[0].costs[0])
    words = (
        f"{images:,} test images were attacked, so that the network's own prediction moves. Fooled: share of all "
        "images whose prediction changed. Under attack: share of all images that are recognised before and after. "
        "Sizes are those of the perturbations that fooled, in pixels scaled to [0, 1]."
    )
    rates = Table(RATES, [rate_row(trial, figures[trial.name]) for trial in trials], "How often, and by how much.")
    costs = Table(
        COSTS, [cost_row(trial, figures[trial.name]) for trial in trials], "How little is enough, and its price."
    )
    blocks: list[Block] = [Text(words), rates, costs]
    for name, drawing in draw_success(trials, curves).items():
        caption = f"Share of recognised images that are fooled with a perturbation of at most this {name} norm."
        blocks.append(Figure(drawing, caption))
    blocks += [block for trial in trials for block in gallery(trial, trainer)]
    worst = max(trials, key=lambda trial: figures[trial.name]["fooling_rate"])
    rate = figures[worst.name]["fooling_rate"]
    return Section("Fooling rates", blocks, order=35, cards=[Card("Fooled by " + worst.name, f"{100 * rate:.1f} %")])


def rate_row(trial: Trial, found: Mapping[str, float]) -> list[Cell]:
    """One attack's success."""
    count = int(trial.costs[0])
    interval = "–"
    if count and isfinite(found["fooling_rate"]):
        low, high = wilson_interval(found["fooling_rate"], count)
        interval = f"{low:.3f}\u00a0to\u00a0{high:.3f}"
    sizes = [found["clean_acc"], found["acc"], found["l2_median"], found["linf_median"]]
    return [trial.name, found["fooling_rate"], interval, *sizes]


def cost_row(trial: Trial, found: Mapping[str, float]) -> list[Cell]:
    """One attack's radius and passes."""
    images, forward, backward, seconds = trial.costs.tolist()
    images = images or nan
    norm = norm_name(trial.attack) if trial.has_radius else "–"
    radius = [found.get("radius_median"), norm, found.get("radius_never")]
    return [trial.name, *radius, forward / images, backward / images, seconds / images]


def draw_success(trials: Sequence[Trial], curves: Mapping[str, Tensor]) -> "dict[str, Drawing]":
    """A drawing for each norm, with the share of images that are fooled as the budget grows."""
    drawings = {}
    known = [trial for trial in trials if trial.name in curves]
    for norm in sorted({norm_name(trial.attack) for trial in known}):
        drawing, axes = blank_drawing(5.2, 2.8)
        chosen = [trial for trial in known if norm_name(trial.attack) == norm]
        for colour, trial in zip(COLOURS * len(chosen), chosen, strict=False):
            radii = curves[trial.name].sort().values
            found = radii[radii.isfinite()]
            shares = torch.arange(1, len(found) + 1) / max(len(radii), 1)
            axes.step([0.0, *found.tolist()], [0.0, *shares.tolist()], where="post", color=colour, label=trial.name)
        axes.set_ylim(0, 1)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.set_xlabel("budget", color=INK, fontsize=9)
        axes.legend(frameon=False, labelcolor=INK, fontsize=9)
        drawings[norm] = drawing
    return drawings


def gallery(trial: Trial, trainer: Trainer) -> list[Block]:
    """Clean, adversarial, and their difference, of the first images that were fooled."""
    pictures = trial.pictures
    if pictures is None or not len(pictures):
        return [Text(f"{trial.name} fooled no image.")]
    classes = class_names(trainer, int(max(pictures.before.max(), pictures.after.max())) + 1)
    factor = amplification(pictures)
    images = torch.stack([pictures.clean, pictures.attacked, amplified(pictures, factor)], dim=1).flatten(0, 1)
    pairs = zip(pictures.before.tolist(), pictures.after.tolist())
    labels = [label for before, after in pairs for label in (classes[before], classes[after], f"× {factor:.3g}")]
    caption = f"{trial.name}: clean and adversarial images, and their amplified difference."
    return [Gallery(images, labels, caption, together=3)]


def picture_grid(pictures: Pictures) -> Tensor:
    """Three rows, clean, adversarial and amplified difference, as one image (C, H, W) uint8."""
    rows = torch.cat([pictures.clean, pictures.attacked, amplified(pictures, amplification(pictures))])
    return tile(to_bytes(rows), columns=len(pictures))


def amplification(pictures: Pictures) -> float:
    """The factor that makes the largest difference just visible in full."""
    largest = float((pictures.attacked - pictures.clean).abs().max())
    return 0.5 / largest if largest else 1.0


def amplified(pictures: Pictures, factor: float) -> Tensor:
    """Differences (n, C, H, W) about a grey of 0.5, in [0, 1]."""
    return (0.5 + factor * (pictures.attacked - pictures.clean)).clamp(0, 1)
