"""A table's file is refused in one sentence that names the file, the place and the nearest valid name."""

from importlib import import_module
from inspect import signature

import pytest

from benchmarks.cells import arguments, plan_cell, write_options
from benchmarks.table import slug
from benchmarks.table_file import TABLES, read_table
from main import main


def test_a_table_is_read(tiny, write):
    table = read_table(write(tiny))
    assert [row.name for row in table.rows_at("small")] == ["plain", "smooth, ε = 0.1"]
    assert table.rows[0].paper_figure(table.columns[0]) == 8.75
    assert table.rows[1].paper_figure(table.columns[0]) is None
    assert table.columns[0].shown(0.9) == pytest.approx(10)


def change(content, place, value):
    *path, last = place
    for key in path:
        content = content[key]
    if value is None:
        del content[last]
    else:
        content[last] = value


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (["seed"], [1], r"table_1.yaml: the file has an unknown key seed"),
        (["rows", 0, "overides"], {}, r"rows\[0\] has an unknown key overides; did you mean overrides"),
        (["scales", "small", "seed"], 1, r"scales.small has an unknown key seed; did you mean seeds"),
        (["title"], None, r"the file lacks the key title"),
        (["rows"], None, r"the file lacks the key rows"),
        (["rows", 1, "paper"], None, r"rows\[1\] lacks the key paper"),
        (["rows"], [], r"rows is empty"),
        (["rows", 0], "plain", r"rows\[0\] must be a mapping, but is 'plain'"),
        (["rows", 0, "paper"], "8.75 %", r"rows\[0\].paper must be a mapping or a number or null, but is '8.75 %'"),
        (["rows", 0, "paper"], {"acc": 1}, r"row plain names a column acc that is not there"),
        (["rows", 0, "fit"], 1, r"rows\[0\].fit must be true or false, but is 1"),
        (["rows", 0, "scales"], {"smal": {}}, r"row plain names a scale smal that is not there; did you mean small"),
        (["rows", 1, "name"], "Plain!", r"row plain needs a name that differs"),
        (["scales", "small", "rows"], ["plane"], r"scale small names a row plane .*; did you mean plain"),
        (["scales", "small", "seeds"], [0, 0], r"scales.small.seeds must be .* all different, but is \[0, 0\]"),
        (["scales", "small", "seeds"], [True], r"scales.small.seeds\[0\] must be a whole number, but is True"),
        (["configs"], "configs/data/digits.yaml", r"configs must be a list"),
        (["rows", 0, "same_as"], "table_9: plain", r"row plain is the same as table_9: plain, but there is no table_9"),
        (["rows", 1, "same_as"], "table_1: plain", r"row smooth, ε = 0.1 is the same as .* can have no configs"),
        (["checkpoint"], "newest", r"checkpoint must be best or last, but is newest"),
        (["columns", 0, "checkpoint"], "newest", r"column error has checkpoint=newest: it must be best or last"),
        (
            ["configs", 0],
            "configs/data/digit.yaml",
            r"no config file configs/data/digit.yaml; did you mean configs/data/d",
        ),
    ],
)
def test_mistakes_are_refused(tiny, write, place, value, sentence):
    change(tiny, place, value)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as caught:
        read_table(write(tiny))
    assert str(caught.value).count("table_1.yaml") == 1


def test_one_number_for_two_columns_is_refused(tiny, write):
    tiny["columns"].append({"name": "loss", "metric": "test/loss"})
    with pytest.raises(ValueError, match=r"row plain gives one number for 2 columns: write paper: \{error: …\}"):
        read_table(write(tiny))


def test_a_file_that_is_missing_or_no_yaml_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no table absent.yaml"):
        read_table(tmp_path.relative_to(tmp_path) / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("rows: [")
    with pytest.raises(ValueError, match="broken.yaml is no valid YAML"):
        read_table(tmp_path / "broken.yaml")


def test_the_more_special_part_wins(tiny, write):
    tiny["rows"][0]["overrides"] = {"trainer.log_every_n_steps": 5}
    tiny["rows"][0]["scales"] = {
        "small": {"overrides": {"trainer.max_epochs": 3}, "configs": ["configs/quickstart.yaml"]}
    }
    table = read_table(write(tiny))
    small = plan_cell(table, "small", table.rows[0], 7, "Digits", {"trainer.log_every_n_steps": 6})
    assert small.options == {"trainer": {"max_epochs": 3, "log_every_n_steps": 6}, "seed_everything": 7}
    assert [path.name for path in small.configs] == ["digits.yaml", "vanilla.yaml", "quickstart.yaml"]
    full = plan_cell(table, "full", table.rows[0], 7, "Digits", {})
    assert full.options["trainer"] == {"max_epochs": 9, "log_every_n_steps": 5}
    assert small.name == "papers/some_paper-table_1/small/plain-seed7"


def test_an_override_inside_a_value_is_refused(tiny, write):
    tiny["overrides"]["trainer.max_epochs.of_one"] = 3
    table = read_table(write(tiny))
    with pytest.raises(ValueError, match="override trainer.max_epochs.of_one: max_epochs is set to 9"):
        plan_cell(table, "full", table.rows[0], 0, "Digits", {})


def test_slugs():
    assert slug("RePr (ortho), p = 30 %") == "repr-ortho-p-30"


ROOMS = (
    "attacks",
    "callbacks",
    "corruptions",
    "criteria",
    "datamodules",
    "defenses",
    "lightning_modules",
    "networks",
    "pruning",
)
SHIPPED = sorted(TABLES.glob("*/*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=[f"{path.parent.name}-{path.stem}" for path in SHIPPED])
def test_shipped_tables_can_be_run(path, capsys):
    table = read_table(path)
    for scale in table.scales:
        cells = [plan_cell(table, scale, row, 0, table.data, {}) for row in table.rows_at(scale) if not row.same_as]
        for cell in cells:
            check_classes(cell.options)
    write_options(cells[-1])
    with pytest.raises(SystemExit) as left:  # after printing; a second for each, so one cell of each table
        main([*arguments(cells[-1], "fit", "last"), "--print_config"])
    assert left.value.code == 0, capsys.readouterr().err


def check_classes(options):
    """Every class is there and has the options that it is given; the command line looks closer, but takes seconds."""
    if isinstance(options, list):
        options = dict(enumerate(options))
    if not isinstance(options, dict):
        return
    if "class_path" in options:
        module, _, name = options["class_path"].rpartition(".")
        modules = [import_module(module)] if module else [import_module(room) for room in ROOMS]
        found = [getattr(each, name) for each in modules if hasattr(each, name)]
        assert found, f"there is no class {options['class_path']}"
        known = [signature(each).parameters for each in found]
        assert any(options.get("init_args", {}).keys() <= names.keys() for names in known), options
    for value in options.values():
        check_classes(value)


@pytest.mark.parametrize("path", SHIPPED, ids=[f"{path.parent.name}-{path.stem}" for path in SHIPPED])
def test_rows_run_for_another_table_are_there(path):
    for row in read_table(path).rows:
        name, _, other = (row.same_as or "").partition(": ")
        assert not name or other in [one.name for one in read_table(path.with_name(f"{name}.yaml")).rows]
