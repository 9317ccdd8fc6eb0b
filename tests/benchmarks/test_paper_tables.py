"""Runs what is missing, once; says what failed; prints what is there."""

import json
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest

from benchmarks.cells import means_of_last_epochs, plan_cell
from benchmarks.paper_tables import main
from benchmarks.printing import mean_and_spread
from benchmarks.table import Column
from benchmarks.table_file import read_table
from main import main as run_main


@pytest.fixture
def table(tiny, write):
    return write(tiny)


@pytest.fixture
def make(tmp_path, stand_in):
    """Calls the command line, its results kept in the test's folder."""

    def call(*words, run=stand_in):
        stand_in.calls.clear()
        return main([*map(str, words), "--results", str(tmp_path / "results")], run, tmp_path / "papers")

    return call


def results(tmp_path, scale="small"):
    return json.loads((tmp_path / "results" / "some_paper" / f"table_1.{scale}.json").read_text())


def test_every_cell_is_trained_and_tested_once(table, make, stand_in, tmp_path):
    assert make(table) == 0
    cells = ["plain-seed0", "plain-seed1", "smooth-0-1-seed0", "smooth-0-1-seed1"]
    assert stand_in.calls == [call for cell in cells for call in (("fit", cell, False), ("test", cell, True))]
    found = results(tmp_path)
    assert [(cell["row"], cell["seed"]) for cell in found["cells"]][:2] == [("plain", 0), ("plain", 1)]
    assert found["cells"][1]["metrics"] == {"test/acc": pytest.approx(0.8)}
    assert found["cells"][0]["seconds"] == {"fit": 60, "test": 60}
    assert len(found["environments"]) == 1
    assert (found["data"], found["note"]) == ("Digits", "one epoch")
    assert make(table) == 0
    assert stand_in.calls == []


def test_a_cell_that_is_interrupted_while_fitting_is_resumed(table, make, stand_in):
    stand_in.obstacles = {("fit", "plain-seed1"): KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        make(table)
    make(table, "--rows", "plain")
    assert stand_in.calls == [("fit", "plain-seed1", True), ("test", "plain-seed1", True)]


def test_a_cell_that_is_interrupted_while_testing_is_not_fitted_again(table, make, stand_in):
    stand_in.obstacles = {("test", "plain-seed0"): KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        make(table)
    make(table, "--rows", "plain", "--seeds", 0)
    assert stand_in.calls == [("test", "plain-seed0", True)]


def test_a_finished_run_whose_result_was_not_kept_is_collected(table, make, stand_in, tmp_path):
    make(table)
    (tmp_path / "results" / "some_paper" / "table_1.small.json").unlink()
    make(table)
    assert stand_in.calls == []
    assert len(results(tmp_path)["cells"]) == 4


def test_a_changed_recipe_runs_again_from_the_start(tiny, write, make, stand_in, capsys):
    make(write(tiny))
    tiny["rows"][0]["overrides"] = {"data.init_args.batch_size": 32}
    make(write(tiny), "--print")
    assert "Left out, since the table or its configs have changed since they were run: plain seed 0, plain" in (
        capsys.readouterr().out
    )
    make(write(tiny))
    assert stand_in.calls == [
        (stage, cell, stage == "test") for cell in ("plain-seed0", "plain-seed1") for stage in ("fit", "test")
    ]
    assert "plain, seed 1 runs again, since its recipe has changed" in capsys.readouterr().out


def test_a_cell_that_fails_is_reported_and_the_others_go_on(table, make, stand_in, tmp_path, capsys):
    stand_in.obstacles = {("fit", "plain-seed0"): 1, ("test", "plain-seed1"): 2}
    assert make(table) == 1
    assert len(stand_in.calls) == 7
    assert [cell["row"] for cell in results(tmp_path)["cells"]] == ["smooth, ε = 0.1"] * 2
    messages = capsys.readouterr().err
    assert "failed: plain, seed 0: fit ended with status 1 and without a result: error: out of luck" in messages
    assert "failed: plain, seed 1: test ended with status 2" in messages
    (log,) = tmp_path.glob("runs/papers/some_paper-table_1/small/plain-seed0/*/commands.log")
    assert str(log.relative_to(tmp_path)) in messages
    assert make(table) == 0


def test_a_metric_that_the_test_does_not_give_is_named(tiny, write, make, capsys):
    tiny["columns"][0]["metric"] = "test/accu"
    assert make(write(tiny)) == 1
    assert "the test gave no test/accu; did you mean test/acc?" in capsys.readouterr().err


def test_a_column_of_other_weights(tiny, write, make, stand_in, tmp_path):
    tiny["checkpoint"] = "last"
    tiny["columns"].append({"name": "best epoch", "metric": "test/acc", "checkpoint": "best"})
    tiny["rows"][0]["paper"] = {"error": 8.75}
    stand_in.obstacles = {("test", "plain-seed1"): KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        make(write(tiny), "--rows", "plain")
    assert [stage for stage, *_ in stand_in.calls] == ["fit", "test", "test", "fit", "test"]
    make(write(tiny), "--rows", "plain")
    assert [stage for stage, *_ in stand_in.calls] == ["test", "test"]
    found = [cell["metrics"] for cell in results(tmp_path)["cells"]]
    assert [one["test/acc"] for one in found] == pytest.approx([0.85, 0.75])
    assert [one["test/acc, best checkpoint"] for one in found] == pytest.approx([0.9, 0.8])


def test_a_row_that_is_run_for_another_table(tiny, write, make, stand_in, capsys):
    first = write(tiny)
    make(first)
    second = first.with_name("table_2.yaml")
    tiny["rows"][0] = {"name": "as before", "paper": 8.0, "same_as": "table_1: plain"}
    tiny["rows"][1]["name"] = "smoother"
    write(tiny).rename(second)
    write(tiny | {"rows": [{"name": "plain", "paper": 8.75}]})
    make(second)
    assert {cell for _, cell, _ in stand_in.calls} == {"smoother-seed0", "smoother-seed1"}
    printed = capsys.readouterr().out
    assert "as before is run for another table, table_1: plain" in printed
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "| as before | 8.00 | 15.00 ± 7.07 | +7.00 | 2 |" in lines
    make(second, "--data-note", "Digits, blurred")  # other data are not mixed
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "| as before | 8.00 | – | – | 0 |" in lines


def test_rows_that_are_only_tested(tiny, write, make, stand_in):
    tiny["rows"][0]["fit"] = False
    assert make(write(tiny), "--rows", "plain", "--seeds", 0) == 0
    assert stand_in.calls == [("test", "plain-seed0", False)]


def test_other_data_make_another_recipe_and_are_never_mixed(table, make, stand_in, tmp_path, capsys):
    make(table)
    make(table, "--rows", "plain", "--seeds", 0, "--data-note", "Digits, blurred", "--set", "data.init_args.val_size=9")
    assert len(stand_in.calls) == 2
    assert (results(tmp_path)["data"], results(tmp_path)["set"]) == ("Digits, blurred", {"data.init_args.val_size": 9})
    printed = capsys.readouterr().out
    assert "Left out" in printed
    assert "Set besides: data.init_args.val_size=9" in printed
    make(table)
    assert [cell for _, cell, _ in stand_in.calls] == []  # its folder is still there
    assert results(tmp_path)["data"] == "Digits"
    make(table, "--print")
    assert "Left out" not in capsys.readouterr().out.rpartition("Table 1")[2]


def test_printed(table, make, capsys):
    make(table, "--rows", "plain")
    make(table, "--rows", "smooth, ε = 0.1", "--seeds", 0)
    capsys.readouterr()
    make(table, "--print")
    printed = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "Table 1: a tiny one" in printed
    assert "| plain | 8.75 | 15.00 ± 7.07 | +6.25 | 2 |" in lines
    assert "| smooth, ε = 0.1 | – | 10.00 | – | 1 |" in lines
    assert "smooth, ε = 0.1: smoothed" in lines
    for fact in ("Scale small: one epoch", "Data: Digits", "Hardware: a chip, 2 cores. Versions: python 3, torch 2"):
        assert fact in lines
    assert (
        "3 runs, 6.0 min in all, 2026-01-02, code abcdef0123; ± is one sample standard deviation over seeds." in lines
    )


def test_several_columns_and_an_undefined_figure(tiny, write, make, stand_in, capsys):
    tiny["columns"] = [{"name": "acc", "metric": "test/acc"}, {"name": "rate", "metric": "test/rate", "digits": 1}]
    tiny["rows"][0]["paper"] = {"acc": 1, "rate": 0.5}
    stand_in.metrics = {"test/rate": None}
    make(write(tiny), "--seeds", 0)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "| plain | 1.00 | 0.90 | -0.10 | 0.5 | NaN | NaN | 1 |" in lines


def test_a_column_that_the_paper_has_no_figures_for(tiny, write, make, capsys):
    tiny["columns"] = [{"name": "acc", "metric": "test/acc"}, {"name": "again", "metric": "test/acc"}]
    for row in tiny["rows"]:
        row["paper"] = {"acc": 1}
    make(write(tiny), "--seeds", 0)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "| row | acc, paper | acc, ours | difference | again, ours | n |" in lines


def test_a_figure_that_a_row_may_lack(tiny, write, make, capsys):
    tiny["columns"] = [{"name": "acc", "metric": "test/acc"}, {"name": "mce", "metric": "test/mce", "optional": True}]
    tiny["rows"][0]["paper"] = {"acc": 1, "mce": 100}
    assert make(write(tiny), "--seeds", 0) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "| plain | 1.00 | 0.90 | -0.10 | 100.00 | – | – | 1 |" in lines


def test_a_row_may_name_the_run_of_a_row_above_it(tiny, write):
    baseline = [{"class_path": "CorruptionError", "init_args": {"baseline": "${run_of:plain}"}}]
    tiny["rows"][1]["overrides"] = {"trainer.callbacks+": baseline}
    table = read_table(write(tiny))
    plain, smooth = (plan_cell(table, "small", row, 1, "Digits", {}) for row in table.rows)
    named = smooth.options["trainer"]["callbacks+"][0]["init_args"]["baseline"]
    assert named == str(plain.folder)
    assert "seed1" in named
    tiny["rows"].reverse()
    table = read_table(write(tiny))
    with pytest.raises(ValueError, match="asks for the run of plain, which is no row above it"):
        plan_cell(table, "small", table.rows[0], 1, "Digits", {})


def test_the_mean_of_the_last_epochs():
    columns = [Column(name="a", metric="val/acc", last_epochs=2), Column(name="b", metric="val/acc")]
    history = {"val/acc": [[0, 0.1], [1, 0.5], [3, 0.7]]}
    assert means_of_last_epochs(columns, history) == {"val/acc, last 2 epochs": pytest.approx(0.6)}
    assert means_of_last_epochs(columns, {"val/acc": [[0, 0.1]]}) == {}


def test_list(table, make, tiny, write, capsys):
    make(table, "--rows", "plain")
    capsys.readouterr()
    assert make("--list") == 0
    assert "small: 2 of 4 runs, full: 0 of 2 runs" in capsys.readouterr().out
    table.with_name("table_2.yaml").write_text("title: nothing else")
    assert make("--list") == 1
    shown = capsys.readouterr()
    assert "Table 1: a tiny one; Nobody 1999" in shown.out
    assert "table_2.yaml: the file lacks the key paper" in shown.err


def test_command_line_mistakes(table, make, tmp_path):
    with pytest.raises(ValueError, match="--rows names a row plane that is not there; did you mean plain"):
        make(table, "--rows", "plane")
    with pytest.raises(ValueError, match="has no scale medium: it has small and full"):
        make(table, "--scale", "medium")
    with pytest.raises(ValueError, match="--set trainer.max_epochs: write OPTION=VALUE"):
        make(table, "--set", "trainer.max_epochs")
    with pytest.raises(SystemExit, match="2"):
        make()
    assert not (tmp_path / "results").exists()


def test_damaged_results_are_refused(table, make, tmp_path):
    path = tmp_path / "results" / "some_paper" / "table_1.small.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(ValueError, match="table_1.small.json is damaged .*: restore or remove it"):
        make(table)


@pytest.mark.parametrize("values", [[1.0, 2.5], [3.0, 3.0, 3.0], list(np.random.default_rng(0).normal(size=9))])
def test_mean_and_spread_equal_numpys(values):
    assert mean_and_spread(values) == pytest.approx((np.mean(values), np.std(values, ddof=1)))


def test_undefined_mean_and_spread():
    assert np.isnan(mean_and_spread([])).all()
    mean, spread = mean_and_spread([2.0])
    assert mean == 2
    assert np.isnan(spread)
    assert np.isnan(mean_and_spread([2.0, np.nan])).all()


def recipe(content, write, seed=0, scale="small", data="Digits", **extra):
    table = read_table(write(content))
    return plan_cell(table, scale, table.rows[0], seed, data, extra).recipe


def test_the_recipe_changes_with_all_that_decides_the_result_and_nothing_else(tiny, write, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("trainer: {max_epochs: 3}")
    tiny["configs"].append(str(own))
    recipes = [recipe(tiny, write)]
    recipes += [recipe(tiny, write, seed=1), recipe(tiny, write, scale="full"), recipe(tiny, write, data="CIFAR-10")]
    recipes += [
        recipe(tiny, write, **{"trainer.precision": "bf16-mixed"}),
        recipe(tiny | {"checkpoint": "last"}, write),
    ]
    recipes.append(recipe(tiny | {"overrides": {"trainer.log_every_n_steps": 3}}, write))
    own.write_text("trainer: {max_epochs: 4}")
    recipes.append(recipe(tiny, write))
    assert len(set(recipes)) == len(recipes) == 8
    own.write_text("# why\ntrainer: {max_epochs: 3}")
    tiny |= {"title": "Table one", "paper": "Somebody"}
    tiny["rows"][0] |= {"paper": 1, "note": "well"}
    tiny["scales"]["small"]["note"] = "short"
    assert recipe(tiny, write) == recipes[0]


def run_in_this_process(words, log):
    with log.open("a") as file, redirect_stdout(file), redirect_stderr(file):
        run_main(words)
    return 0


def test_a_table_on_digits_from_end_to_end(tiny, write, make, tmp_path, capsys):
    kept = {"name": "kept", "metric": "val/acc", "last_epochs": 1}
    tiny["columns"] = [tiny["columns"][0], {"name": "loss", "metric": "test/loss"}, kept]
    tiny["rows"][0]["paper"] = {"error": 8.75}
    tiny["overrides"] |= {"trainer.accelerator": "cpu", "trainer.limit_train_batches": 3}
    tiny["overrides"]["model.init_args.optimizer.init_args.lr"] = "${trainer.gradient_clip_val}"
    tiny["overrides"]["trainer.gradient_clip_val"] = 0.1
    assert make(write(tiny), run=run_in_this_process) == 0
    assert len(list(tmp_path.glob("runs/papers/some_paper-table_1/small/*-seed?/recipe-*/report.html"))) == 4
    found = results(tmp_path)
    assert found["cells"][0]["metrics"].keys() >= {"test/acc", "test/loss", "val/acc, last 1 epochs"}
    assert found["cells"][0]["metrics"] != found["cells"][1]["metrics"]
    assert {cell["epochs"] for cell in found["cells"]} == {1}
    assert found["environments"][0]["versions"]["torch"]
    assert "4 runs" in capsys.readouterr().out


def test_rows_that_are_made_alike_share_a_run(tiny, write, make, stand_in, tmp_path, capsys):
    tiny["columns"] = [{"name": "rate", "metric": "test/{}/rate", "percent": True}]
    tiny["rows"] = [{"name": n, "paper": None, "fit": False, "run": "both", "figures": n} for n in ("one", "two")]
    stand_in.metrics = {"test/one/rate": 0.25, "test/two/rate": 0.5, "test/two/more": 1.0}
    table = write(tiny)
    assert make(table) == 0
    assert stand_in.calls == [("test", "both-seed0", False), ("test", "both-seed1", False)]
    found = results(tmp_path)["cells"]
    assert [cell["metrics"] for cell in found[::2]] == [
        {"test/one/rate": 0.25},
        {"test/two/rate": 0.5, "test/two/more": 1.0},
    ]
    printed = capsys.readouterr().out
    assert "| two" in printed
    assert "50.00 ± 0.00" in printed
    assert "2 runs, 2.0 min in all" in printed
    other = table.with_name("table_2.yaml")
    other.write_text(table.read_text())
    assert make(other) == 0
    assert stand_in.calls == []
