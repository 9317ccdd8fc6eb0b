"""All tables that ship can be planned: their files are there, and rows that rest on others find them."""

import pytest

from benchmarks.cells import plan_cell
from benchmarks.table_file import TABLES, read_table

PATHS = sorted(TABLES.glob("*/*.yaml"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_row_is_planned_at_every_scale(path):
    table = read_table(path)
    for scale in table.scales:
        rows = [row for row in table.rows_at(scale) if not row.same_as]
        cells = [plan_cell(table, scale, row, 0, "data", {}) for row in rows]
        own = [cell.folder for cell in cells if not cell.row.run]
        assert cells
        assert len(set(own)) == len(own)


def test_a_row_run_for_another_table_is_there():
    for path in PATHS:
        for row in read_table(path).rows:
            if row.same_as:
                name, _, other = row.same_as.partition(": ")
                assert other in [one.name for one in read_table(path.with_name(f"{name}.yaml")).rows]
