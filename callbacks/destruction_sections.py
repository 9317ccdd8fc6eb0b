"""What the report says about defences."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING

import torch
from lightning import Trainer
from torch import Tensor

from callbacks.defense_trials import Bench, DefenseTrial
from callbacks.destruction_findings import SINGLE, VOTE, Curve, Findings, Found
from callbacks.destruction_pictures import gallery
from callbacks.figures import COLOURS, INK, LINE, blank_drawing
from callbacks.sections import Block, Card, Cell, Figure, Section, Table, Text
from metrics import wilson_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

COUNTED = {"acc": "recognised", "destruction_rate": "fooled", "acc_of_all": "images"}


def destruction_section(findings: Findings, trials: Sequence[DefenseTrial], bench: Bench, trainer: Trainer) -> Section:
    """Rates of each attack and defence, sizes, costs, curves, pictures."""
    blocks: list[Block] = [Text(words(findings)), attack_table(findings, trials)]
    blocks.append(clean_table(findings) if findings.with_clean else cost_table(findings))
    readings = [(SINGLE, "one run"), (VOTE, f"the vote of {findings.ensemble} runs")]
    for reading, runs in readings if any_random(bench) else readings[:1]:
        blocks.append(grid(findings, "destruction_rate", reading, f"Destruction rate, {runs} of each defence."))
        blocks.append(grid(findings, "acc", reading, f"Accuracy on recognised images, {runs} of each defence."))
        if findings.is_adaptive:
            known = f"{runs}: the attacker does not know the defence, and knows it."
            blocks.append(adaptive_table(findings, "acc", reading, f"Accuracy on recognised images, {known}"))
            blocks.append(adaptive_table(findings, "destruction_rate", reading, f"Destruction rate, {known}"))
    blocks += [figure for curve in findings.curves for figure in curve_figures(curve)]
    blocks += [block for trial in trials for block in gallery(trial, bench, trainer)]
    return Section("Defences", blocks, order=37, cards=cards(findings))


def words(findings: Findings) -> str:
    """What was done."""
    text = (
        f"{int(findings.clean['images']):,} test images, of which {int(findings.clean['recognised']):,} are recognised "
        "and attacked. Destruction rate: of the images that an attack fooled, the share that is recognised "
        "behind a defence (Prakash 2019, chapter 4). In brackets 95 % intervals."
    )
    if findings.is_adaptive:
        text += (
            " An attacker who knows a defence attacks through it, with its gradient and averaged over "
            f"{findings.eot} runs, and keeps the better of this and the plain attack; it cannot know the numbers drawn."
        )
    return text


def any_random(bench: Bench) -> bool:
    """Whether a vote differs from a single run."""
    return bench.ensemble > 1 and any(defense.random for defense in bench.defenses.values())


def attack_table(findings: Findings, trials: Sequence[DefenseTrial]) -> Table:
    """What each attack does without a defence, and its price."""
    header = ["attack", "accuracy without a defence", "fooled", "RMSE", "relative L2", "passes", "seconds per image"]
    rows: list[list[Cell]] = []
    for trial in trials:
        rates, size = findings.attacks[trial.name], findings.sizes[trial.name]
        images, forward, backward, seconds = trial.costs.tolist()
        price: list[Cell] = [(forward + backward) / max(images, 1), seconds / max(images, 1)]
        sizes: list[Cell] = [float(size["rmse"]), float(size["rel_l2"])]
        rows.append([trial.name, float(rates["acc_undefended"]), int(rates["fooled"]), *sizes, *price])
    caption = (
        "Attacks on recognised images. Sizes are means over the perturbations that fooled: root mean square in pixels "
        "scaled to [0, 1], and length as a share of the image's. Passes and seconds are those of crafting, also where "
        "the images were kept from an earlier test."
    )
    return Table(header, rows, caption)


def clean_table(findings: Findings) -> Table:
    """What each defence costs without an attack."""
    header = ["defence", "one run, recognised", "vote, recognised", "one run, all", "vote, all", "seconds per image"]
    rows: list[list[Cell]] = [
        [
            name,
            *(cell(findings.clean, "acc", place, reading) for reading in (SINGLE, VOTE)),
            *(cell(findings.clean, "acc_of_all", place, reading) for reading in (SINGLE, VOTE)),
            findings.seconds[place],
        ]
        for place, name in enumerate(findings.defenses)
    ]
    before = float(findings.clean["recognised"] / findings.clean["images"])
    caption = f"Accuracy on clean images behind each defence; on all images {before:.3f} without one."
    return Table(header, rows, caption)


def cost_table(findings: Findings) -> Table:
    """What each defence takes, where no clean image went through it."""
    rows: list[list[Cell]] = [list(row) for row in zip(findings.defenses, findings.seconds, strict=True)]
    return Table(
        ["defence", "seconds per image"], rows, "Seconds of one run of each defence, the network's not among them."
    )


def grid(findings: Findings, figure: str, reading: int, caption: str) -> Table:
    """A figure of each defence (down) against each attack (across)."""
    rows: list[list[Cell]] = [
        [name, *(cell(rates, figure, place, reading) for rates in findings.attacks.values())]
        for place, name in enumerate(findings.defenses)
    ]
    return Table(["defence", *findings.attacks], rows, caption)


def adaptive_table(findings: Findings, figure: str, reading: int, caption: str) -> Table:
    """A figure against both attackers side by side."""
    header = ["defence"]
    for attack in findings.attacks:
        header += [attack, f"{attack}, adaptive", "RMSE"]
    rows: list[list[Cell]] = []
    for place, name in enumerate(findings.defenses):
        row: list[Cell] = [name]
        for attack, rates in findings.attacks.items():
            known, size = findings.adaptive[attack][place], findings.adaptive_sizes[attack][place]
            row += [cell(rates, figure, place, reading), cell(known, figure, None, reading), float(size["rmse"])]
        rows.append(row)
    return Table(header, rows, caption)


def cell(found: Found, figure: str, place: int | None, reading: int) -> str:
    """A rate and its interval."""
    values = found[figure] if place is None else found[figure][place]
    return with_interval(float(values[reading]), int(found[COUNTED[figure]]))


def with_interval(rate: float, count: int) -> str:
    """For example ``0.750 (0.301 to 0.954)``; a dash where there is nothing to count."""
    if isnan(rate) or not count:
        return "–"
    low, high = wilson_interval(rate, count)
    return f"{rate:.3f} ({low:.3f}\u00a0to\u00a0{high:.3f})".replace(" (", "\u00a0(")


def cards(findings: Findings) -> list[Card]:
    """The defence with the highest mean accuracy under attack."""
    means = torch.stack([rates["acc"][:, VOTE] for rates in findings.attacks.values()]).mean(0)
    if bool(means.isnan().all()):
        return []
    best = int(means.nan_to_num(-1).argmax())
    name = findings.defenses[best]
    return [Card(f"Recognised behind {name}", f"{100 * float(means[best]):.1f} %", "mean over the attacks")]


def curve_figures(curve: Curve) -> list[Figure]:
    """Destruction rates over an option's values, and accuracies."""
    over = f"behind {curve.defense}, over {curve.parameter}; one run."
    return [
        Figure(draw_lines(curve, curve.destruction_rate), f"Destruction rate {over}"),
        Figure(draw_lines(curve, curve.acc), f"Accuracy on recognised images {over}"),
    ]


def draw_lines(curve: Curve, lines: Mapping[str, Tensor]) -> "Drawing":
    """Rates over an option's values, a line for each attack, and one in the text's colour for clean images."""
    drawing, axes = blank_drawing(5.2, 2.8)
    for colour, (name, rates) in zip(COLOURS * len(lines), lines.items(), strict=False):
        colour, dashes = (INK, "--") if name == "clean" else (colour, "-")
        axes.plot(list(curve.values), rates.tolist(), dashes, color=colour, label=name, marker="o", markersize=3.5)
    if len(curve.values) > 2 and min(curve.values) > 0 and max(curve.values) >= 50 * min(curve.values):
        axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_xlabel(curve.parameter, color=INK, fontsize=9)
    axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    return drawing
