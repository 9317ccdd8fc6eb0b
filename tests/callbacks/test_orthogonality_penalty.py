"""The penalty against a double loop, and what it does to a training."""

import pytest
import torch
from lightning import Callback, LightningModule
from torch import nn

from callbacks import Distillation, OrthogonalityPenalty, RePr
from datamodules import Digits
from tests.callbacks.pruning_runs import TwoLayers, assert_same_end, fit

TWO = {"devices": 2, "strategy": "ddp_fork"}


def plain_sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def double_loop(network):
    """Σ |cos| of every two different filters of a layer."""
    total = 0.0
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            filters = module.weight.flatten(1)
            for i in range(len(filters)):
                for j in range(len(filters)):
                    if i != j:
                        total = total + torch.cosine_similarity(filters[i], filters[j], dim=0).abs()
    return total


class Steps(Callback):
    """Keeps batches, and the weights before and after the first steps."""

    def __init__(self):
        self.batches, self.weights = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.batches.append([part.clone() for part in batch])
        self.weights.append({name: value.detach().clone() for name, value in pl_module.network.named_parameters()})


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_is_that_of_the_summed_loss(accumulate, tmp_path):
    steps = Steps()
    options = {"max_epochs": 1, "accumulate_grad_batches": accumulate, "limit_train_batches": accumulate}
    network = TwoLayers(batch_norm=False)
    trainer = fit(tmp_path, OrthogonalityPenalty(0.03), steps, network=network, optimizer=plain_sgd, **options)
    before = TwoLayers(batch_norm=False)
    before.load_state_dict(steps.weights[0], strict=True)
    losses = [nn.functional.cross_entropy(before(images), labels) for images, labels in steps.batches]
    (sum(losses) / accumulate + 0.03 * double_loop(before)).backward()
    after = dict(trainer.lightning_module.network.named_parameters())
    for name, parameter in before.named_parameters():
        torch.testing.assert_close(after[name].detach(), parameter - 0.1 * parameter.grad, rtol=1e-5, atol=1e-6)


def test_it_is_logged_once_per_epoch(tmp_path):
    trainer = fit(tmp_path, OrthogonalityPenalty(), max_epochs=1)
    expected = double_loop(trainer.lightning_module.network).item()
    assert trainer.callback_metrics["train/orthogonality"].item() == pytest.approx(expected, rel=1e-5)


def test_filters_resemble_each_other_less(tmp_path):
    without, with_penalty = (fit(tmp_path, OrthogonalityPenalty(weight)) for weight in (0.0, 0.1))
    figures = [trainer.callback_metrics["train/orthogonality"] for trainer in (without, with_penalty)]
    assert figures[1] < 0.5 * figures[0]
    assert with_penalty.callback_metrics["val/acc"] > 0.5


def test_weight_0_is_plain_training(tmp_path):
    assert_same_end(fit(tmp_path, OrthogonalityPenalty(0.0), max_epochs=2), fit(tmp_path, max_epochs=2))


class Crash(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 8:
            raise InterruptedError


def test_resumed_equals_uninterrupted(tmp_path):
    whole = fit(tmp_path / "whole", OrthogonalityPenalty(), max_epochs=3, every_step=True)
    broken = OrthogonalityPenalty()
    with pytest.raises(InterruptedError):
        fit(tmp_path / "broken", broken, Crash(), max_epochs=3, every_step=True)
    again = {"ckpt_path": tmp_path / "broken" / "last.ckpt", "every_step": True}
    resumed = fit(tmp_path / "broken", OrthogonalityPenalty(), max_epochs=3, **again)
    assert_same_end(whole, resumed)
    names = ("train/orthogonality", "val/loss")
    assert all(whole.callback_metrics[name] == resumed.callback_metrics[name] for name in names)


class Bring(Callback):
    """Brings weights out of the workers, after having asserted that they agree."""

    def __init__(self, path):
        self.path = path

    def on_train_end(self, trainer, pl_module):
        for name, parameter in pl_module.named_parameters():
            ranks = trainer.strategy.all_gather(parameter.detach())
            assert trainer.world_size == 1 or torch.equal(ranks[0], ranks[1]), name
        if trainer.is_global_zero:
            torch.save(pl_module.state_dict(), self.path)


def test_two_ranks_equal_one_process(tmp_path):
    ends = []
    for ranks, batch_size in (({}, 100), (TWO, 50)):
        path = tmp_path / str(batch_size)
        data = Digits(batch_size=batch_size, drop_last=True)
        torch.manual_seed(0)
        network = TwoLayers(batch_norm=False)
        fit(tmp_path, OrthogonalityPenalty(), Bring(path), network=network, data=data, max_epochs=2, **ranks)
        ends.append(torch.load(path))
    for name, weights in ends[0].items():
        torch.testing.assert_close(ends[1][name], weights, rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions(precision, tmp_path):
    trainer = fit(tmp_path, OrthogonalityPenalty(), max_epochs=1, precision=precision)
    assert trainer.callback_metrics["train/orthogonality"].isfinite()


def test_it_stacks_with_repr_and_a_teacher_in_any_order(tmp_path):
    ends = []
    for order in (1, -1):
        plugins = [RePr(40, 1, 1, 1), OrthogonalityPenalty(), Distillation(network=TwoLayers)]
        ends.append(fit(tmp_path, *plugins[::order], max_epochs=3))
    assert_same_end(*ends)
    assert ends[0].lightning_module.loss_terms == []


def test_weight_below_0_is_refused():
    with pytest.raises(ValueError, match="OrthogonalityPenalty: weight=-1 must be 0 or more"):
        OrthogonalityPenalty(-1)


def test_other_modules_and_networks_without_filters_are_refused(tmp_path):
    with pytest.raises(ValueError, match="OrthogonalityPenalty takes part in the loss of a Classifier, but the model"):
        OrthogonalityPenalty().setup(None, LightningModule(), "fit")
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    with pytest.raises(ValueError, match="Sequential has no convolutions"):
        fit(tmp_path, OrthogonalityPenalty(), network=linear, max_epochs=1)
