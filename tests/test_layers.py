"""Arrows between the rooms point down only."""

import ast
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
BELOW = {
    "draws": set(),
    "modes": set(),
    "options": set(),
    "networks": set(),
    "criteria": {"modes", "options"},
    "attacks": {"draws", "modes", "options"},
    "corruptions": {"draws"},
    "defenses": {"draws", "modes", "options"},
    "pruning": {"draws", "modes"},
    "metrics": set(),
    "datamodules": {"corruptions"},
    "lightning_modules": {"networks", "criteria", "metrics", "modes"},
    "callbacks": {"attacks", "corruptions", "defenses", "pruning", "criteria", "metrics", "modes", "options"},
}
ABOVE = {"cli", "benchmarks"}


def imported_rooms(path):
    nodes = list(ast.walk(ast.parse(path.read_text())))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in found} & (BELOW.keys() | ABOVE | {"main", "tests"})


@pytest.mark.parametrize("room", BELOW)
def test_imports_point_down(room):
    for path in (PROJECT / room).rglob("*.py"):
        upward = imported_rooms(path) - BELOW[room] - {room}
        assert not upward, f"{path.relative_to(PROJECT)} imports {upward}"


@pytest.mark.parametrize("room", sorted(BELOW.keys() - {"datamodules", "lightning_modules", "callbacks"}))
def test_the_lower_rooms_need_no_lightning(room):
    for path in (PROJECT / room).rglob("*.py"):
        assert "lightning" not in path.read_text().replace("lightning_modules", ""), path.relative_to(PROJECT)


def test_exactly_the_rooms_are_packages():
    listed = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert {name.split(".")[0] for name in listed} == BELOW.keys() | ABOVE
    assert set(listed) == {
        str(path.parent.relative_to(PROJECT)).replace("/", ".") for path in PROJECT.glob("[a-z]*/**/__init__.py")
    }
