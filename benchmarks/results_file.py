"""Results of a table at one scale, kept as JSON that can be committed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cells import plan_cell
from benchmarks.table import Table
from benchmarks.table_file import read_table

RESULTS = Path(__file__).parent / "results"


class Results:
    """The results of a table at one scale. The file is replaced as a whole after every cell.

    Args:
        table: whose results.
        scale: its name.
        folder: that results of all papers lie in.
    """

    def __init__(self, table: Table, scale: str, folder: Path = RESULTS) -> None:
        self.table, self.scale, self.folder = table, scale, folder
        self.path = folder / table.path.parent.name / f"{table.path.stem}.{scale}.json"

    def read(self) -> dict[str, Any]:
        """The file's content; of a file that is not there, the same without cells."""
        if not self.path.is_file():
            return {"data": self.table.data, "set": {}, "note": "", "environments": [], "cells": []}
        try:
            content: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{self.path} is damaged ({error}): restore or remove it") from error
        return content

    def find(self, row: str, seed: int) -> dict[str, Any] | None:
        """The result of a row and a seed, whatever its recipe."""
        cells = self.read()["cells"]
        return next((cell for cell in cells if (cell["row"], cell["seed"]) == (row, seed)), None)

    def begin(self, data: str, extra: Mapping[str, Any]) -> None:
        """Say what the results are made on from now on; those made otherwise stay in the file but count no more.

        Args:
            data: in words.
            extra: options that were added on the command line, by dotted names.
        """
        scale = self.table.scale(self.scale)
        head = {"title": self.table.title, "paper": self.table.paper, "scale": self.scale, "note": scale.note}
        content = self.read()
        self._write(
            {**head, "data": data, "set": dict(extra)} | {key: content[key] for key in ("environments", "cells")}
        )

    def add(self, cell: Mapping[str, Any]) -> None:
        """Put a result in place of an older one of the same row and seed; the file is read again before."""
        content = self.read()
        environments = content["environments"]
        if cell["environment"] not in environments:
            environments.append(cell["environment"])
        cell = {**cell, "environment": environments.index(cell["environment"])}
        others = [old for old in content["cells"] if (old["row"], old["seed"]) != (cell["row"], cell["seed"])]
        order = {row.name: index for index, row in enumerate(self.table.rows)}
        cells = sorted([*others, cell], key=lambda one: (order.get(one["row"], len(order)), one["seed"]))
        self._write({**content, "cells": cells})

    def current(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The results that the table's file still describes, and those that were made by another recipe.

        Each says its whole ``environment`` instead of its place in the file.
        """
        content = self.read()
        rows = {row.name: row for row in self.table.rows}
        valid: list[dict[str, Any]] = []
        stale: list[dict[str, Any]] = []
        for cell in content["cells"]:
            cell = {**cell, "environment": content["environments"][cell["environment"]]}
            row = rows.get(cell["row"])
            plan = row and plan_cell(self.table, self.scale, row, cell["seed"], content["data"], content["set"])
            (valid if plan and plan.recipe == cell["recipe"] else stale).append(cell)
        return valid + self._from_elsewhere(content), stale

    def _from_elsewhere(self, content: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The results of rows that are run for another table, where they were made on the same data."""
        cells = []
        for row in self.table.rows:
            if not row.same_as:
                continue
            path, name = row.elsewhere(self.table.path)
            other = Results(read_table(path), self.scale, self.folder)
            head = other.read()
            if all(head[key] == content[key] for key in ("data", "set")):
                cells += [{**cell, "row": row.name} for cell in other.current()[0] if cell["row"] == name]
        return cells

    def _write(self, content: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            draft.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)
