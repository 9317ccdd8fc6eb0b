"""What RePr says in the report."""

import json

import pytest

from callbacks import Report, RePr
from callbacks.pruning_sections import cycle_row, draw_phases
from callbacks.repr import tier_figures
from lightning_modules import Classifier
from tests.callbacks.pruning_runs import TwoLayers


def test_the_report_shows_the_cycles(trainer, digits, folder):
    repr_ = RePr(40, 1, 1, 2)
    trainer(Report(), repr_, max_epochs=5).fit(Classifier(TwoLayers()), digits())
    page = (folder / "report.html").read_text()
    assert "In 2 of 2 cycles, 4 of 16 filters left for 1 epochs" in page
    assert "<td>epoch 2</td>" in page
    assert "Filters that left, by layer and cycle." in page
    assert "Filters renewed" in page
    history = json.loads((folder / "metrics.json").read_text())["history"]
    assert history["repr/filters_away"] == [[0, 0.0], [1, 4.0], [2, 0.0], [3, 4.0], [4, 0.0]]
    assert history["repr/tier_orthogonal_to_all"] == [[2, 4.0], [4, 4.0]]
    assert history["repr/tier_orthogonal_to_survivors"] == history["repr/tier_orthogonal_to_nobody"] == [[2, 0], [4, 0]]
    assert [epoch for epoch, _ in history["val/acc"]] == [0, 2, 4]


def test_a_run_without_a_drop_has_no_section(trainer, digits, folder):
    trainer(Report(), RePr(cycles=0), max_epochs=1).fit(Classifier(TwoLayers()), digits())
    assert ">RePr" not in (folder / "report.html").read_text()


def test_a_cycle_that_is_not_over():
    entry = {"cycle": 1, "position": 1200, "removed": {"a": [1, 2], "b": []}}
    assert cycle_row(entry, "step") == [2, "step 1,201", 2, "not yet", None, None, None]
    entry |= {"returned": 1500, "tiers": {"a": [1, 1, 0], "b": [0, 0, 0]}}
    assert cycle_row(entry, "step") == [2, "step 1,201", 2, "step 1,501", 1, 1, 0]


def test_figures_of_an_epoch_in_which_filters_returned():
    returned = {"epoch": 3, "tiers": {"a": [1, 2, 3], "b": [4, 0, 0]}}
    assert tier_figures([{}, {"epoch": 2, "tiers": {"a": [9, 9, 9]}}, returned, returned], 3) == {
        "repr/tier_orthogonal_to_all": 10,
        "repr/tier_orthogonal_to_survivors": 4,
        "repr/tier_orthogonal_to_nobody": 6,
    }
    assert tier_figures([{}, returned], 4) == {}


def test_pruned_phases_are_shaded():
    drawing = draw_phases({"val/acc": [[0, 0.5], [9, 0.7]]}, [(2, 4), (7, None)])
    spans = [patch.get_xy() for patch in drawing.axes[0].patches]
    assert spans[0][0] == pytest.approx(2.5)
