"""What a paper's table is made of, as it stands in its declarative file."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Part:
    """Configs and options that are laid over more general ones.

    Attributes:
        configs: config files, seen from the project's folder, in order.
        overrides: options by their dotted names, such as ``trainer.max_epochs``; values as in a config file, and
            ``${run_of:ROW}`` for the run folder of an earlier row with the same seed.
    """

    configs: list[str] = field(default_factory=list)
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A figure of each row.

    Attributes:
        name: heading.
        metric: its name in ``metrics.json``, such as ``test/acc``; ``{}`` in it stands for a row's ``figures``.
        error: show one minus the metric, which is a rate.
        percent: show it times 100.
        digits: shown behind the decimal point.
        optional: whether a row may lack it, which shows as a dash.
        last_epochs: for a metric that training logs, such as ``val/acc``: its mean over the last so many epochs of the
            training; None takes the metric of the test.
        checkpoint: weights that are tested for this column, ``best`` or ``last``; None takes the table's.
    """

    name: str
    metric: str
    error: bool = False
    percent: bool = False
    digits: int = 2
    optional: bool = False
    last_epochs: int | None = None
    checkpoint: str | None = None

    @property
    def key(self) -> str:
        """What a result keeps the figure under."""
        if self.last_epochs is not None:
            return f"{self.metric}, last {self.last_epochs} epochs"
        return self.metric if self.checkpoint is None else f"{self.metric}, {self.checkpoint} checkpoint"

    def of(self, row: "Row") -> "Column":
        """The column as it is in one row."""
        return replace(self, metric=self.metric.replace("{}", row.figures))

    def shown(self, value: float) -> float:
        """A metric's value in the column's unit, which is the paper's."""
        return (1 - value if self.error else value) * (100 if self.percent else 1)


@dataclass(frozen=True, kw_only=True)
class Scale(Part):
    """How much is computed.

    Attributes:
        note: what differs from the paper, for the reader of a result.
        seeds: one run of each row per seed.
        rows: names of the rows that are run at this scale; all by default.
        data: what the runs are made on, where not what the table says.
    """

    note: str
    seeds: list[int]
    rows: list[str] | None = None
    data: str | None = None


@dataclass(frozen=True, kw_only=True)
class Row(Part):
    """A line of the table.

    Attributes:
        name: as in the paper.
        paper: the paper's figure in each column's unit, by the columns' names; a bare number where there is one column,
            null where the paper has none.
        scales: configs and overrides of this row at one scale only.
        fit: whether the row is trained; otherwise it is only tested, with the weights that its overrides name.
        same_as: the row of another table of this paper whose runs these are, such as ``table_5_1: Standard``; it is run
            there, and shown here where both tables were run on the same data.
        note: a remark, printed below the table.
        run: a name for the run; rows of one name, also in other tables of the paper, that are made alike share it.
        figures: which figures of a shared run the row shows: what stands for ``{}`` in the columns' metrics.
    """

    name: str
    paper: dict[str, float | None] | float | None
    scales: dict[str, Part] = field(default_factory=dict)
    fit: bool = True
    same_as: str = ""
    note: str = ""
    run: str = ""
    figures: str = ""

    def elsewhere(self, path: Path) -> tuple[Path, str]:
        """The file of the table that ``same_as`` names, beside this row's own, and the row there."""
        table, _, row = self.same_as.partition(": ")
        return path.with_name(f"{table}.yaml"), row

    def paper_figure(self, column: Column) -> float | None:
        """What the paper says."""
        return self.paper.get(column.name) if isinstance(self.paper, dict) else self.paper


@dataclass(frozen=True, kw_only=True)
class Table(Part):
    """A table of a paper; its own configs and overrides are shared by all rows.

    Attributes:
        path: of the file.
        title: number and subject of the table.
        paper: authors, year, title and where to find it.
        data: what the runs are made on, said beside every number.
        columns: the figures of a row.
        scales: by name, ``small`` and ``full``.
        rows: the lines.
        checkpoint: which weights are tested, ``best`` by validation or ``last``.
    """

    path: Path = Path()
    title: str
    paper: str
    data: str
    columns: list[Column]
    scales: dict[str, Scale]
    rows: list[Row]
    checkpoint: str = "best"

    def scale(self, name: str) -> Scale:
        """The scale of this name."""
        if name not in self.scales:
            raise ValueError(f"{self.path} has no scale {name}: it has {' and '.join(self.scales)}")
        return self.scales[name]

    def rows_at(self, scale: str) -> list[Row]:
        """The rows that are run at a scale."""
        chosen = self.scale(scale).rows
        return [row for row in self.rows if chosen is None or row.name in chosen]

    def has_paper_figures(self, column: Column) -> bool:
        """Whether the paper has a figure in this column at all."""
        return any(row.paper_figure(column) is not None for row in self.rows)

    def parts(self, scale: str, row: Row) -> list[Part]:
        """What makes a row's runs, the most special one last: it wins."""
        return [self, self.scale(scale), row, row.scales.get(scale, Part())]


def slug(name: str) -> str:
    """A name as part of a path: lower-case letters and digits with hyphens between."""
    plain = "".join(letter.lower() if letter.isascii() and letter.isalnum() else " " for letter in name)
    return "-".join(plain.split())
