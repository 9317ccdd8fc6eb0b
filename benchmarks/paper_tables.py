"""Reproduce a table of a paper: ``python -m benchmarks.paper_tables configs/papers/PAPER/TABLE.yaml --scale small``.

Runs what is missing, one cell (a row with a seed) after the other, and prints the table. It can be interrupted: the
same command goes on where it stopped. A cell whose recipe (configs, overrides, seed, data) has changed is run again.
"""

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from benchmarks.cells import Cell, CellError, Runner, make_cell, plan_cell, run_in_process_of_its_own
from benchmarks.printing import render
from benchmarks.results_file import RESULTS, Results
from benchmarks.table import Table
from benchmarks.table_file import ROOT, TABLES, read_table, require


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper_tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", type=Path, help="the table's file, below configs/papers/")
    parser.add_argument("--scale", default="small", help="how much is computed: small (default) or full")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="only these rows, by name")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="K", help="these seeds instead of the file's")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="OPTION=VALUE",
        help="options of main.py for all cells, such as data.init_args.root=PATH; part of the recipe",
    )
    parser.add_argument(
        "--data-note", metavar="TEXT", help="what the data are, where not what the file says; part of the recipe"
    )
    parser.add_argument("--print", action="store_true", help="only print the results that are there")
    parser.add_argument("--list", action="store_true", help="list all tables, and at which scales there are results")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    options = parser.parse_args(words)
    if not options.list and options.file is None:
        parser.error("name a table's file, or give --list")
    return options


def main(words: Sequence[str] | None = None, run: Runner = run_in_process_of_its_own, tables: Path = TABLES) -> int:
    """Do what the command line says.

    Args:
        words: the command line; None takes the process's own.
        run: runs one command of ``main.py``.
        tables: the folder that ``--list`` looks through.

    Returns:
        The exit status: 1 if a cell failed or a table could not be read.
    """
    options = parse(words)
    if options.list:
        return list_tables(tables, options.results)
    table = read_table(options.file)
    results = Results(table, options.scale, options.results)
    failures = [] if options.print else run_table(table, options, results, run)
    print(f"\n{render(results)}")
    for sentence in failures:
        print(f"failed: {sentence}", file=sys.stderr)
    return 1 if failures else 0


def run_table(table: Table, options: argparse.Namespace, results: Results, run: Runner) -> list[str]:
    """Run what is missing; returns a sentence for each cell that failed."""
    data = options.data_note or table.scale(options.scale).data or table.data
    extra = dict(map(parse_option, options.set))
    cells = plan(table, options, data, extra)
    results.begin(data, extra)
    return run_cells(cells, results, run)


def list_tables(folder: Path, results: Path) -> int:
    """Print a line for each table; a file that cannot be read is named and does not hide the others."""
    status = 0
    for path in sorted(folder.glob("*/*.yaml")):
        try:
            table = read_table(path)
        except (ValueError, OSError) as error:
            status = 1
            print(f"error: {error}", file=sys.stderr)
            continue
        print(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}\n    {table.title}; {table.paper}")
        print("    " + ", ".join(count_results(Results(table, scale, results)) for scale in table.scales))
    return status


def count_results(results: Results) -> str:
    """A scale and how many of its cells are there."""
    seeds = results.table.scale(results.scale).seeds
    wanted = {(row.name, seed) for row in results.table.rows_at(results.scale) for seed in seeds}
    there = {(cell["row"], cell["seed"]) for cell in results.current()[0]}
    return f"{results.scale}: {len(wanted & there)} of {len(wanted)} runs"


def plan(table: Table, options: argparse.Namespace, data: str, extra: Mapping[str, Any]) -> list[Cell]:
    """The cells that the command line asks for."""
    for name in options.rows or ():
        require(name, [row.name for row in table.rows], f"{table.path}: --rows names a row")
    rows = table.rows_at(options.scale) if options.rows is None else [r for r in table.rows if r.name in options.rows]
    for row in [row for row in rows if row.same_as]:
        print(f"{row.name} is run for another table, {row.same_as}")
    rows = [row for row in rows if not row.same_as]
    seeds = options.seeds or table.scale(options.scale).seeds
    return [plan_cell(table, options.scale, row, seed, data, extra) for row in rows for seed in seeds]


def parse_option(word: str) -> tuple[str, Any]:
    """Name and value of ``OPTION=VALUE``; the value is read as YAML."""
    name, equals, value = word.removeprefix("--").partition("=")
    if not equals or not name:
        raise ValueError(f"--set {word}: write OPTION=VALUE, such as trainer.accelerator=cpu")
    return name, yaml.safe_load(value)


def run_cells(cells: Sequence[Cell], results: Results, run: Runner) -> list[str]:
    """Make what is missing and keep each result at once; returns a sentence for each cell that failed."""
    failures = []
    for number, cell in enumerate(cells, 1):
        known = results.find(cell.row.name, cell.seed)
        state = "is there" if known and known["recipe"] == cell.recipe else "runs"
        if known and state == "runs":
            state = "runs again, since its recipe has changed"
        print(f"[{number}/{len(cells)}] {cell.label} {state}", flush=True)
        if state == "is there":
            continue
        try:
            results.add(make_cell(cell, run))
        except CellError as error:
            failures.append(f"{cell.label}: {error}")
            print(f"    failed: {error}", flush=True)
    return failures


def end(signal_number: int, frame: Any) -> None:
    """Leave on a signal as on Ctrl-C, so that the running command is ended as well."""
    sys.exit(128 + signal_number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on where this one stopped")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
