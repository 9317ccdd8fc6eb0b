"""A cell is one run of one row: what it is made from, the commands that make it, what it gave."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from benchmarks.table import Column, Row, Table, slug
from benchmarks.table_file import ROOT, nearest

Runner = Callable[[list[str], Path], int]  # words after main.py, file that the output is added to -> exit status


class CellError(Exception):
    """A cell could not be made; the message says why."""


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        row: of the table.
        seed: of the run.
        configs: config files, in order.
        options: what is laid over them, nested as in a config file.
        columns: the figures that its test must give.
        checkpoint: which weights are tested, ``best`` or ``last``.
        name: of the run, below ``runs/``.
        recipe: digits that are equal where everything that decides the result is, the code excepted.
    """

    row: Row
    seed: int
    configs: list[Path]
    options: dict[str, Any]
    columns: Sequence[Column]
    checkpoint: str
    name: str
    recipe: str

    @property
    def folder(self) -> Path:
        """The run folder. Each recipe has its own, so that a run never resumes one that was made otherwise."""
        return Path("runs") / self.name / f"recipe-{self.recipe}"

    @property
    def checkpoints(self) -> list[str]:
        """All weights that are tested; the table's come last, so that the run folder shows those."""
        others = {column.checkpoint for column in self.columns if column.checkpoint and self.row.fit}
        return [*sorted(others - {self.checkpoint}), self.checkpoint]

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.row.name}, seed {self.seed}"


def plan_cell(table: Table, scale: str, row: Row, seed: int, data: str, extra: Mapping[str, Any]) -> Cell:
    """The run of a row with a seed.

    Args:
        table: that the row belongs to.
        scale: its name.
        row: of the table.
        seed: of the run.
        data: what it is made on, in words; the same recipe on other data is another recipe.
        extra: options by dotted names, which win over all others.
    """
    parts = table.parts(scale, row)
    configs = [ROOT / config for part in parts for config in part.configs]
    options: dict[str, Any] = {}
    for overrides in (*(part.overrides for part in parts), extra, {"seed_everything": seed}):
        for name, value in overrides.items():
            put(options, name, value)
    options = with_runs(options, lambda name: plan_cell(table, scale, earlier(table, row, name), seed, data, extra))
    contents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / "configs/trainer.yaml", *configs)]
    place = table.path.parent.name if row.run else f"{table.path.parent.name}-{table.path.stem}"
    name = f"papers/{place}/{scale}/{slug(row.run or row.name)}-seed{seed}"
    recipe = digits([contents, options, scale, data, row.fit, table.checkpoint])
    columns = [column.of(row) for column in table.columns]
    return Cell(row, seed, configs, options, columns, table.checkpoint, name, recipe)


def with_runs(value: Any, find: Callable[[str], Cell]) -> Any:
    """Options with the run folder of a row's cell in place of each ``${run_of:ROW}``."""
    if isinstance(value, dict):
        return {key: with_runs(item, find) for key, item in value.items()}
    if isinstance(value, list):
        return [with_runs(item, find) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{run_of:([^}]*)\}", lambda found: str(find(found[1].strip()).folder), value)
    return value


def earlier(table: Table, row: Row, name: str) -> Row:
    """The row of this name that is run before another one."""
    before = {other.name: other for other in table.rows[: table.rows.index(row)]}
    if name not in before:
        raise ValueError(f"{table.path}: row {row.name} asks for the run of {name}, which is no row above it")
    return before[name]


def put(options: dict[str, Any], name: str, value: Any) -> None:
    """Set an option by its dotted name in nested options."""
    *path, last = name.split(".")
    for key in path:
        options = options.setdefault(key, {})
        if not isinstance(options, dict):
            raise ValueError(f"override {name}: {key} is set to {options} elsewhere and cannot hold more")
    options[last] = value


def digits(content: Any) -> str:
    """Twelve digits that depend on plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]


def make_cell(cell: Cell, run: Runner) -> dict[str, Any]:
    """Train and test, or what is still missing of it, and return the result as plain data.

    Raises:
        CellError: if a command fails or gives less than the columns need.
    """
    write_options(cell)
    if cell.row.fit and not finished(cell, "fit"):
        command(cell, "fit", run)
    for checkpoint in cell.checkpoints:
        if not kept_test(cell, checkpoint).is_file():
            command(cell, "test", run, checkpoint)
            kept_test(cell, checkpoint).write_text(json.dumps(record(cell)["test"]), encoding="utf-8")
    return collect(cell)


def write_options(cell: Cell) -> None:
    """Put the options into the run folder, as a config file."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    (cell.folder / "recipe.yaml").write_text(yaml.safe_dump(cell.options, sort_keys=False), encoding="utf-8")


def kept_test(cell: Cell, checkpoint: str) -> Path:
    """Where the figures of a test with these weights are kept, since the next test replaces the run's own."""
    return cell.folder / f"test-{checkpoint}.json"


def command(cell: Cell, stage: str, run: Runner, checkpoint: str = "last") -> None:
    """Run one command from a checkpoint; its output is added to ``commands.log`` in the run folder."""
    log = cell.folder / "commands.log"
    status = run(arguments(cell, stage, checkpoint), log)
    if status or not finished(cell, stage):
        raise CellError(f"{stage} ended with status {status} and without a result: {last_line(log)} (all in {log})")


def arguments(cell: Cell, stage: str, checkpoint: str) -> list[str]:
    """The words after ``main.py``."""
    files = [word for path in (*cell.configs, cell.folder / "recipe.yaml") for word in ("-c", shorten(path))]
    folder = ["--name", cell.name, f"--trainer.logger.init_args.version={cell.folder.name}"]
    start = cell.folder / "checkpoints" / f"{checkpoint}.ckpt"
    needed = start.is_file() if stage == "fit" else cell.row.fit
    return [stage, *files, *folder, *(["--ckpt_path", str(start)] if needed else [])]


def shorten(path: Path) -> str:
    """As seen from the current folder, where it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def run_in_process_of_its_own(words: list[str], log: Path) -> int:
    """Run ``main.py`` and wait; where the wait is interrupted, the command is ended too."""
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ python main.py {' '.join(words)}\n")
        file.flush()
        environment = {**os.environ, "NO_COLOR": "1"}
        main = [sys.executable, str(ROOT / "main.py"), *words]
        return subprocess.run(main, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False).returncode


def last_line(log: Path) -> str:
    """What the output ended with."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def record(cell: Cell) -> dict[str, Any]:
    """The run's ``metrics.json``, or nothing."""
    path = cell.folder / "metrics.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


def finished(cell: Cell, stage: str) -> bool:
    """Whether a command ended well, now or in an earlier session."""
    return bool(record(cell).get("status", {}).get(stage) == "finished")


def collect(cell: Cell) -> dict[str, Any]:
    """What a finished run gave."""
    found = record(cell)
    about = found["environment"]
    metrics = tested(cell) | means_of_last_epochs(cell.columns, found.get("history", {}))
    for column in cell.columns:
        if column.key not in metrics and not column.optional:
            hint = nearest(column.key, metrics) or f"; it gave {', '.join(metrics)}"
            raise CellError(f"the test gave no {column.key}{hint}")
    return {
        "row": cell.row.name,
        "seed": cell.seed,
        "recipe": cell.recipe,
        "metrics": own_figures(cell, metrics),
        "epochs": about.get("fit", {}).get("epochs"),
        "seconds": {stage: about[stage]["seconds"] for stage in ("fit", "test") if stage in about},
        "date": about["test"]["date"],
        "code": about["test"]["code"],
        "environment": {name: about["test"][name] for name in ("hardware", "versions")},
    }


def tested(cell: Cell) -> dict[str, float]:
    """What the tests gave: all figures of the table's own weights, and of others those of the columns that ask."""
    figures = {name: json.loads(kept_test(cell, name).read_text(encoding="utf-8")) for name in cell.checkpoints}
    own: dict[str, float] = figures[cell.checkpoint]
    asked = [column for column in cell.columns if column.checkpoint in figures]
    found = {column.key: figures[str(column.checkpoint)].get(column.metric) for column in asked}
    return own | {key: value for key, value in found.items() if value is not None}


def own_figures(cell: Cell, metrics: Mapping[str, float]) -> dict[str, float]:
    """What belongs to a row; of a shared run, the figures that bear its name and those of the columns."""
    keys = {column.key for column in cell.columns}
    mine = f"/{cell.row.figures}/"
    return {name: value for name, value in metrics.items() if not cell.row.figures or mine in name or name in keys}


def means_of_last_epochs(
    columns: Sequence[Column], history: Mapping[str, Sequence[Sequence[float]]]
) -> dict[str, float]:
    """Means over the last epochs of training, for the columns that ask for them, by their keys."""
    means = {}
    for column in columns:
        values = [value for _, value in history.get(column.metric, ())]
        if column.last_epochs is not None and len(values) >= column.last_epochs:
            means[column.key] = sum(values[-column.last_epochs :]) / column.last_epochs
    return means
