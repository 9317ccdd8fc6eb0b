"""What a test of defences prints when it ends."""

from collections.abc import Sequence
from math import isnan, nan

from callbacks.destruction_findings import SINGLE, VOTE, Findings

GAP = "  "


def grids(findings: Findings, votes: bool) -> str:
    """Accuracies and destruction rates as text, defences down and attacks across.

    Args:
        findings: of the test.
        votes: whether the vote of several runs differs from one run.
    """
    readings = [SINGLE, VOTE] if votes else [SINGLE]
    accuracy = [header("accuracy, %", findings, "ms"), undefended(findings)]
    destruction = [header("destruction rate, %", findings)]
    for place, name in enumerate(findings.defenses):
        clean = [rates_of(findings.clean["acc"][place].tolist(), readings)] if findings.with_clean else []
        milliseconds = f"{1000 * findings.seconds[place]:.3g}"
        accuracy.append([name, *clean, *across(findings, "acc", place, readings), milliseconds])
        destruction.append([name, *across(findings, "destruction_rate", place, readings)])
    return "\n".join([legend(findings, votes), *in_columns(accuracy), "", *in_columns(destruction)])


def legend(findings: Findings, votes: bool) -> str:
    """What the figures of a cell are."""
    runs = ["one run", *([f"vote of {findings.ensemble}"] if votes else [])]
    runs += [f"{run}, the attacker knows the defence" for run in runs] if findings.is_adaptive else []
    images, recognised = (int(findings.clean[name]) for name in ("images", "recognised"))
    return f"Defences on {recognised:,} recognised of {images:,} images: {' / '.join(runs)}"


def header(figure: str, findings: Findings, cost: str = "") -> list[str]:
    """Names of the columns; those of clean images and of the cost belong to accuracies."""
    clean = ["clean"] if cost and findings.with_clean else []
    return [figure, *clean, *findings.attacks, *([cost] if cost else [])]


def undefended(findings: Findings) -> list[str]:
    """The row without a defence; recognised images are, by choice."""
    rates = [percent(float(found["acc_undefended"])) for found in findings.attacks.values()]
    clean = percent(1.0 if findings.clean["recognised"] else nan)
    return ["none", *([clean] if findings.with_clean else []), *rates, ""]


def across(findings: Findings, figure: str, place: int, readings: Sequence[int]) -> list[str]:
    """A cell for each attack, behind one defence."""
    cells = []
    for attack, found in findings.attacks.items():
        cell = rates_of(found[figure][place].tolist(), readings)
        if findings.is_adaptive:
            cell += f" / {rates_of(findings.adaptive[attack][place][figure].tolist(), readings)}"
        cells.append(cell)
    return cells


def rates_of(rates: Sequence[float], readings: Sequence[int]) -> str:
    """Rates of a single run and of the vote."""
    return " / ".join(percent(rates[reading]) for reading in readings)


def percent(rate: float) -> str:
    """With one digit; a dash where it is undefined."""
    return "–" if isnan(rate) else f"{100 * rate:.1f}"


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of text: the first column flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]).rstrip()
        for row in rows
    ]
