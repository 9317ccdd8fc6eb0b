"""Attacks on test images, inside Lightning's test loop."""

import json

import pytest
import torch
from lightning import Trainer, seed_everything
from torch import nn

from attacks import FGSM, PGD, AtSize, CarliniWagner, DeepFool
from attacks.budgets import smallest_budgets
from callbacks import FoolingRate, Report
from callbacks.fooling_sections import COSTS, amplification, amplified, cost_row, draw_success, gallery
from callbacks.naming import names_of
from callbacks.trials import Pictures, Trial
from datamodules import Digits
from lightning_modules import Classifier

ATTACKS = [FGSM(eps=0.05), PGD(eps=0.05, steps=3, stop="success"), DeepFool(steps=20)]


def trained():
    """A small classifier of digits, the same one each time."""
    seed_everything(0, verbose=False)
    network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10))
    model = Classifier(network, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(accelerator="cpu", max_epochs=10, enable_model_summary=False, **quiet).fit(model, Digits(batch_size=64))
    return model


@pytest.fixture(scope="module")
def model():
    return trained()


@pytest.fixture
def test(trainer, folder):
    """Tests with some callbacks, and gives the figures of ``metrics.json``."""

    def run(model, *callbacks, eval_batch_size=100, **options):
        trainer(Report(), *callbacks, **options).test(model, Digits(eval_batch_size=eval_batch_size), verbose=False)
        return json.loads((folder / "metrics.json").read_text())["test"]

    return run


def test_figures_are_those_of_the_attacks_by_hand(model, test):
    found = test(model, FoolingRate(ATTACKS, images=0))
    data = Digits(eval_batch_size=360)
    data.setup("test")
    images, labels = next(iter(data.test_dataloader()))
    before = model.eval()(images).argmax(1)
    for attack, name in zip(ATTACKS, ("fgsm", "pgd", "deepfool")):
        result = attack(model, images, before)
        fooled = model(result.images).argmax(1) != before
        assert found[f"test/{name}/fooling_rate"] == pytest.approx(fooled.double().mean().item())
        assert found[f"test/{name}/acc"] == pytest.approx((~fooled & (before == labels)).double().mean().item())
        l2 = (result.images - images)[fooled].flatten(1).norm(dim=1)
        assert found[f"test/{name}/l2"] == pytest.approx(l2.mean().item(), rel=1e-4)
    assert found["test/deepfool/fooling_rate"] > 0.99
    assert found["test/fgsm/clean_acc"] == pytest.approx(found["test/acc"])


def test_batches_and_ranks_do_not_matter(model, test, tmp_path):
    def rates(**options):
        return test(model, FoolingRate(ATTACKS, images=200, budgets=[0.02, 0.1]), **options)

    whole, parts, ranks = rates(), rates(eval_batch_size=37), rates(devices=2, strategy="ddp_fork")
    for name, value in whole.items():
        if name.startswith(("test/fgsm", "test/pgd", "test/deepfool")):
            assert parts[name] == pytest.approx(value, rel=1e-3), name
            assert ranks[name] == pytest.approx(value, rel=1e-3), name


def test_the_report_shows_rates_curves_and_pictures(model, test, folder):
    test(model, FoolingRate(ATTACKS, images=50, budgets=[0.01, 0.05], samples=3), precision="bf16-mixed")
    page = (folder / "report.html").read_text()
    assert ">Fooling rates" in page
    assert "50 test images were attacked" in page
    row = page.partition("<td>test/fgsm/acc</td>")[2].partition("</tr>")[0]
    assert "to" not in row  # the results table knows nothing of how many images were attacked
    assert page.count("clean and adversarial images, and their amplified difference") == 3
    assert "at most this L∞ norm" in page
    assert "at most this L2 norm" in page


def test_a_fixed_size_is_no_smallest_budget(model, test):
    found = test(model, FoolingRate([AtSize(DeepFool(steps=20), 0.05), DeepFool(steps=20)], images=50, budgets=[0.05]))
    assert "test/atsize/fooling_rate" in found
    assert not any(name.startswith("test/atsize/radius") for name in found)
    assert "test/deepfool/radius_median" in found


@pytest.mark.parametrize(
    ("attack", "budgets", "norm"),
    [
        (PGD(), [0.1], "L∞"),
        (PGD("l2", eps=1.0), [0.1], "L2"),
        (DeepFool("linf"), [], "L∞"),
        (CarliniWagner(), [], "L2"),
        (PGD(), [], "–"),
        (AtSize(PGD()), [0.1], "–"),
    ],
)
def test_the_norm_of_the_smallest_budget_is_named(attack, budgets, norm):
    row = cost_row(Trial("x", attack, budgets), {"radius_median": 0.1, "radius_never": 0.0})
    assert row[COSTS.index("in the norm")] == norm
    assert len(row) == len(COSTS)


def test_the_first_images_alone_are_attacked(model, test):
    callback = FoolingRate([FGSM(eps=0.05)], images=130)
    test(model, callback)
    assert callback.trials[0].costs[0] == 130
    assert callback.trials[0].rate.counts[0] == 130


def test_smallest_budgets_against_one_budget_after_the_other(model):
    data = Digits(eval_batch_size=40)
    data.setup("test")
    images, labels = next(iter(data.test_dataloader()))
    attack, budgets = PGD(eps=0.1, steps=3), [0.01, 0.03, 0.1]
    found = smallest_budgets(attack, model.eval(), images, labels, budgets)
    for index in range(len(images)):
        one = slice(index, index + 1)
        right = model(images[one]).argmax(1) == labels[one]
        first = [b for b in budgets if attack.at(b)(model, images[one], labels[one]).success]
        assert found[index].item() == pytest.approx((first or [float("inf")])[0] if right else 0.0)


def test_nothing_is_fooled_without_a_budget(model, test, folder):
    found = test(model, FoolingRate([PGD(eps=0.0, step=0.0, steps=1), PGD(eps=0.0, step=0.0, steps=2)]))
    assert found["test/pgd/fooling_rate"] == 0
    assert found["test/pgd/l2"] is None  # NaN
    assert found["test/pgd_2/fooling_rate"] == 0
    assert "pgd_2 fooled no image." in (folder / "report.html").read_text()


def test_names():
    assert names_of([FGSM(), PGD(), PGD(), DeepFool(), PGD()]) == ["fgsm", "pgd", "pgd_2", "deepfool", "pgd_3"]


def test_differences_are_amplified_about_grey():
    clean = torch.full((2, 1, 2, 2), 0.5)
    pictures = Pictures(clean, clean + 0.1, torch.zeros(2), torch.ones(2))
    assert amplification(pictures) == pytest.approx(5.0)
    torch.testing.assert_close(amplified(pictures, 5.0), torch.ones(2, 1, 2, 2))
    assert gallery(Trial("x", FGSM()), None)[0].text == "x fooled no image."


def test_success_grows_with_the_budget():
    radii = torch.tensor([0.3, 0.1, torch.inf, 0.2])
    drawing = draw_success([Trial("deepfool", DeepFool())], {"deepfool": radii})["L2"]
    (line,) = drawing.axes[0].lines
    assert line.get_xdata().tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert line.get_ydata().tolist() == pytest.approx([0.0, 0.25, 0.5, 0.75])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attacks": []}, "attacks is empty"),
        ({"images": -1}, "images=-1 must be 0 or more"),
        ({"budgets": [0.1, 0.05]}, "must rise, from above 0"),
        ({"budgets": [0.0]}, "must rise, from above 0"),
    ],
)
def test_refuses_impossible_options(options, words):
    with pytest.raises(ValueError, match=words):
        FoolingRate(**options)
