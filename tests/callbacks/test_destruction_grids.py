"""What a test of defences prints."""

import logging
from math import nan

import pytest
import torch

from attacks import FGSM
from callbacks import DestructionRate
from callbacks.destruction_findings import Findings
from callbacks.destruction_grids import grids, in_columns, percent
from callbacks.destruction_sections import adaptive_table, cost_table
from datamodules import Digits
from defenses import BitDepth


def rates(acc, destroyed):
    """Of two defences, or of one, by one run and by the vote."""
    found = {"acc": torch.tensor(acc), "destruction_rate": torch.tensor(destroyed)}
    counts = {"images": 10.0, "recognised": 8.0, "fooled": 6.0, "acc_undefended": 0.25}
    return found | {name: torch.tensor(value) for name, value in counts.items()}


@pytest.fixture
def findings():
    """Of an attack on eight images, of which it fools six, and of an adaptive one."""

    def make(with_clean=True, adaptive=True):
        size = {"rmse": torch.tensor(0.03)}
        known = [rates([0.25, 0.125], [0.0, 0.5]), rates([0.125, 0.25], [0.5, nan])] if adaptive else []
        return Findings(
            ["bits", "pixel deflection"],
            rates([[1.0, 1.0], [0.875, 1.0]], [[nan, nan], [nan, nan]]),
            with_clean,
            {"fgsm": rates([[0.5, 0.5], [0.75, 1.0]], [[0.25, 0.25], [nan, 1.0]])},
            {"fgsm": size},
            {"fgsm": known},
            {"fgsm": [size] * len(known)},
            [0.001, 0.25],
            ensemble=4,
            eot=2,
            curves=[],
        )

    return make


def test_every_defence_against_every_attack(findings):
    assert grids(findings(), votes=True).splitlines() == [
        "Defences on 8 recognised of 10 images: one run / vote of 4 / one run, the attacker knows the defence / "
        "vote of 4, the attacker knows the defence",
        "accuracy, %               clean                        fgsm   ms",
        "none                      100.0                        25.0",
        "bits              100.0 / 100.0   50.0 / 50.0 / 25.0 / 12.5    1",
        "pixel deflection   87.5 / 100.0  75.0 / 100.0 / 12.5 / 25.0  250",
        "",
        "destruction rate, %                      fgsm",
        "bits                 25.0 / 25.0 / 0.0 / 50.0",
        "pixel deflection         – / 100.0 / 50.0 / –",
    ]


def test_only_what_was_measured(findings):
    text = grids(findings(with_clean=False, adaptive=False), votes=False)
    assert text.splitlines()[:4] == [
        "Defences on 8 recognised of 10 images: one run",
        "accuracy, %       fgsm   ms",
        "none              25.0",
        "bits              50.0    1",
    ]
    assert "clean" not in text
    assert "/" not in text


def test_nothing_is_said_of_clean_images_where_none_is_recognised(findings):
    found = findings(adaptive=False)
    found.clean["recognised"] = torch.tensor(0.0)
    assert grids(found, votes=False).splitlines()[2].split() == ["none", "–", "25.0"]


def test_columns_are_as_wide_as_their_widest_cell():
    assert in_columns([["a", "bb", "c"], ["dd", "e", ""]]) == ["a   bb  c", "dd   e"]
    assert [percent(rate) for rate in (0.0, 0.1234, 1.0, nan)] == ["0.0", "12.3", "100.0", "–"]


def test_the_report_has_adaptive_destruction_rates_and_seconds(findings):
    table = adaptive_table(findings(), "destruction_rate", 0, "")
    assert [cell[:5] for cell in table.rows[0][1:3]] == ["0.250", "0.000"]
    assert [cell[:5] for cell in table.rows[1][1:3]] == ["–", "0.500"]
    assert cost_table(findings(with_clean=False)).rows == [["bits", 0.001], ["pixel deflection", 0.25]]


def test_a_test_ends_with_them(classifier, trainer, caplog):
    callback = DestructionRate({"fgsm": FGSM()}, {"four bits": BitDepth(4)}, images=20)
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        trainer(callback).test(classifier(), Digits(), verbose=False)
    (said,) = [record.getMessage() for record in caplog.records if "Defences on" in record.getMessage()]
    assert "of 20 images: one run\naccuracy, %  clean" in said
    assert said.count("four bits") == 2
