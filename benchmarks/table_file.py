"""Reads a table's file; whatever is wrong in it is said in one sentence that names the file and the place."""

from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml  # type: ignore[import-untyped]

from benchmarks.table import Row, Scale, Table, slug

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "configs" / "papers"
WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number", type(None): "null"}


def read_table(path: Path) -> Table:
    """The table of a file.

    Raises:
        FileNotFoundError: if there is no such file, or no config file that it names.
        ValueError: if a key is unknown or missing, or a value impossible.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no table {path}: `python -m benchmarks.paper_tables --list` names them")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        table: Table = replace(build(Table, content, ""), path=path)
        check(table)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{path}: {error}") from error
    return table


def build(hint: Any, value: Any, where: str) -> Any:
    """The object that a type hint asks for, from what YAML gives.

    Args:
        hint: a dataclass, list, dict, union or scalar type.
        value: mappings, lists and scalars.
        where: the place in the file, such as ``rows[0].paper``.
    """
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if is_dataclass(hint):
        return build_dataclass(hint, value, where)
    if kind is list and isinstance(value, list):
        return [build(inner[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if kind is dict and isinstance(value, dict):
        return {str(key): build(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is UnionType:
        fitting = [option for option in inner if fits(value, get_origin(option) or option)]
        return build(fitting[0], value, where) if fitting else refuse(value, hint, where)
    return value if hint is Any or (kind in WORDS and fits(value, kind)) else refuse(value, hint, where)


def build_dataclass(kind: Any, value: Any, where: str) -> Any:
    """An object whose attributes are a mapping's values; a path is no part of a file."""
    place = where or "the file"
    if not isinstance(value, dict):
        raise ValueError(f"{place} must be a mapping, but is {value!r}")
    hints = {name: hint for name, hint in get_type_hints(kind).items() if hint is not Path}
    needed = [item.name for item in fields(kind) if item.default is item.default_factory is MISSING]
    if unknown := [str(key) for key in value if key not in hints]:
        raise ValueError(
            f"{place} has an unknown key {unknown[0]}{nearest(unknown[0], hints)}; known: {', '.join(hints)}"
        )
    if missing := [name for name in needed if name not in value]:
        raise ValueError(f"{place} lacks the key {missing[0]}")
    return kind(**{key: build(hints[key], item, f"{where}.{key}".lstrip(".")) for key, item in value.items()})


def fits(value: Any, kind: type) -> bool:
    """Whether a value is of a kind; a whole number is a number too, and true is not."""
    return isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))


def refuse(value: Any, hint: Any, where: str) -> Any:
    """Say what was expected."""
    raise ValueError(f"{where} must be {describe(hint)}, but is {value!r}")


def describe(hint: Any) -> str:
    """A type hint in words."""
    if isinstance(hint, UnionType):
        return " or ".join(describe(option) for option in get_args(hint))
    kind = get_origin(hint)
    return WORDS.get(hint, "a list" if kind is list else "a mapping")


def check(table: Table) -> None:
    """Refuse what is of the right kind but cannot be run."""
    for name, items in {"columns": table.columns, "rows": table.rows, "scales": table.scales}.items():
        if not items:
            raise ValueError(f"{name} is empty: give at least one")
    if table.checkpoint not in ("best", "last"):
        raise ValueError(f"checkpoint must be best or last, but is {table.checkpoint}")
    for column in table.columns:
        if column.checkpoint not in (None, "best", "last"):
            raise ValueError(f"column {column.name} has checkpoint={column.checkpoint}: it must be best or last")
        if column.last_epochs is not None and column.last_epochs < 1:
            raise ValueError(f"column {column.name} has last_epochs={column.last_epochs}: it must be at least 1")
    for row in table.rows:
        check_row(table, row)
    for name, scale in table.scales.items():
        check_scale(table, name, scale)


def check_row(table: Table, row: Row) -> None:
    """A name of its own, also as a folder; columns and scales that are there."""
    if not slug(row.name) or [slug(other.name) for other in table.rows].count(slug(row.name)) > 1:
        raise ValueError(f"row {row.name} needs a name that differs from the others in letters or digits")
    for name in row.scales:
        require(name, table.scales, f"row {row.name} names a scale")
    if row.same_as:
        check_elsewhere(table, row)
    columns = [column.name for column in table.columns]
    if isinstance(row.paper, dict):
        for name in row.paper:
            require(name, columns, f"row {row.name} names a column")
    elif row.paper is not None and len(columns) > 1:
        raise ValueError(
            f"row {row.name} gives one number for {len(columns)} columns: write paper: {{{columns[0]}: …}}"
        )


def check_elsewhere(table: Table, row: Row) -> None:
    """A row that is run for another table: the table and the row are there, and nothing is said twice."""
    path, name = row.elsewhere(table.path)
    if row.configs or row.overrides or row.scales:
        raise ValueError(
            f"row {row.name} is the same as {row.same_as}: it can have no configs and overrides of its own"
        )
    if not path.is_file():
        raise FileNotFoundError(f"row {row.name} is the same as {row.same_as}, but there is no {path.name} beside this")
    rows = [other.name for other in read_table(path).rows if not other.same_as]
    require(name, rows, f"row {row.name} is the same as {row.same_as}, which names a row")


def check_scale(table: Table, name: str, scale: Scale) -> None:
    """Seeds, rows and config files."""
    if not scale.seeds or len(set(scale.seeds)) < len(scale.seeds):
        raise ValueError(f"scales.{name}.seeds must be at least one number and all different, but is {scale.seeds}")
    for row in scale.rows or ():
        require(row, [known.name for known in table.rows], f"scale {name} names a row")
    for config in [config for row in table.rows for part in table.parts(name, row) for config in part.configs]:
        if not (ROOT / config).is_file():
            there = [path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")]
            raise FileNotFoundError(f"there is no config file {config}{nearest(config, there)}")


def require(name: str, known: Iterable[str], sentence: str) -> None:
    """Refuse a name that nothing bears."""
    if name not in known:
        raise ValueError(f"{sentence} {name} that is not there{nearest(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names that are spelled most like this one."""
    from cli import mistakes  # imports every room, which takes seconds: only where something is wrong

    return mistakes.nearest(name, known)
