"""A table with the paper's numbers, ours, and the circumstances of ours."""

from collections.abc import Mapping, Sequence
from math import isnan, nan, sqrt
from typing import Any

from benchmarks.results_file import Results
from benchmarks.table import Column, Row, Table


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n − 1); NaN where undefined."""
    count = len(values)
    mean = sum(values) / count if count else nan
    return mean, sqrt(sum((value - mean) ** 2 for value in values) / (count - 1)) if count > 1 else nan


def render(results: Results) -> str:
    """Heading, table in Markdown, and what the numbers depend on."""
    table = results.table
    valid, stale = results.current()
    planned = table.rows_at(results.scale)
    rows = [row for row in table.rows if row in planned or any(cell["row"] == row.name for cell in valid)]
    lines = [render_row(row, table, [c for c in valid if c["row"] == row.name]) for row in rows]
    heading = ["row"]
    for column in table.columns:
        ours = f"{column.name}, ours"
        heading += [f"{column.name}, paper", ours, "difference"] if table.has_paper_figures(column) else [ours]
    notes = [f"{row.name}: {row.note}" for row in rows if row.note]
    return "\n".join(
        [table.title, table.paper, "", *align([[*heading, "n"], *lines]), "", *notes, *about(results, valid, stale)]
    )


def render_row(row: Row, table: Table, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row's fields; n is the number of runs."""
    fields = [row.name]
    for column in table.columns:
        here = column.of(row)
        there = [cell for cell in cells if here.key in cell["metrics"] or not here.optional]
        values = [shown(here, cell) for cell in there]
        figures = render_figures(row.paper_figure(column), values, column.digits)
        fields += figures if table.has_paper_figures(column) else figures[1:2]
    return [*fields, str(len(cells))]


def shown(column: Column, cell: Mapping[str, Any]) -> float:
    """A cell's figure in the column's unit; JSON has no NaN, so that one is null there."""
    value = cell["metrics"].get(column.key)
    return nan if value is None else column.shown(value)


def render_figures(paper: float | None, values: Sequence[float], digits: int) -> list[str]:
    """The paper's figure, ours with its spread over seeds, and ours minus the paper's; a dash where there is none."""
    mean, spread = mean_and_spread(values)
    ours = write(mean, digits) if values else "–"
    if len(values) > 1:
        ours += f" ± {write(spread, digits)}"
    if paper is None:
        return ["–", ours, "–"]
    return [write(paper, digits), ours, write(mean - paper, digits, sign="+") if values else "–"]


def write(value: float, digits: int, sign: str = "") -> str:
    """A number with so many digits behind the point; NaN where it is undefined."""
    return "NaN" if isnan(value) else f"{value:{sign}.{digits}f}"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose first row is its heading; all columns but the first are flush right."""
    widths = [max(2, *map(len, column)) for column in zip(*rows, strict=True)]  # a rule takes two
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [rows[0], rule, *rows[1:]]
    return [
        f"| {line[0]:{widths[0]}} | {' | '.join(f.rjust(w) for f, w in zip(line[1:], widths[1:]))} |" for line in lines
    ]


def about(results: Results, valid: Sequence[Mapping[str, Any]], stale: Sequence[Mapping[str, Any]]) -> list[str]:
    """The circumstances of the results, a line each."""
    content = results.read()
    if not valid:
        return [f"Scale {results.scale}: no results yet.", *describe_stale(stale)]
    lines = [f"Scale {results.scale}: {content['note']}", f"Data: {content['data']}"]
    if content["set"]:
        lines.append("Set besides: " + ", ".join(f"{name}={value}" for name, value in content["set"].items()))
    lines += dict.fromkeys(describe_environment(cell["environment"]) for cell in valid)
    lines.append(describe_runs(valid))
    return lines + describe_stale(stale)


def describe_environment(environment: Mapping[str, Any]) -> str:
    """Hardware and versions in one line."""
    hardware, versions = environment["hardware"], environment["versions"]
    gpus = hardware["gpus"]
    device = f"{len(gpus)} × {gpus[0]}" if gpus else f"{hardware['cpu']}, {hardware['cores']} cores"
    return f"Hardware: {device}. Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items())


def describe_runs(cells: Sequence[Mapping[str, Any]]) -> str:
    """Spread, time, dates and commits in one line."""
    each = {(cell["recipe"], cell["seed"]): cell for cell in cells}  # rows may share a run
    seconds = sum(sum(cell["seconds"].values()) for cell in each.values())
    dates = sorted(cell["date"][:10] for cell in cells)
    commits = sorted({describe_code(cell["code"]) for cell in cells})
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    runs = f"{len(each)} run{'s' if len(each) > 1 else ''}"
    circumstances = f"{runs}, {seconds / 60:.1f} min in all, {when}, code {', '.join(commits)}"
    return f"{circumstances}; ± is one sample standard deviation over seeds."


def describe_code(code: Mapping[str, Any] | None) -> str:
    """Commit in short."""
    return "outside git" if code is None else code["commit"][:10] + (" with changes" if code["dirty"] else "")


def describe_stale(stale: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was left out."""
    names = ", ".join(f"{cell['row']} seed {cell['seed']}" for cell in stale)
    return [f"Left out, since the table or its configs have changed since they were run: {names}."] if stale else []
