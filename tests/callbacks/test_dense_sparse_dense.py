"""Dense-sparse-dense training."""

import pytest
import torch
from lightning import Callback

from callbacks import DenseSparseDense
from tests.callbacks.pruning_runs import EPOCHS, STEPS, assert_same_end, fit
from tests.lightning_modules.test_resume import Crash

SHORT = {"percent": 30, "dense_epochs": 1, "sparse_epochs": 1, "cycles": 2}
TWO = {"devices": 2, "strategy": "ddp_fork"}


class Zeros(Callback):
    """Counts the weights that are zero after every step, by layer."""

    def __init__(self):
        self.counts = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        weights = [pl_module.network.layers[index].weight for index in (0, 3, 8)]
        self.counts.append([int((weight == 0).sum()) for weight in weights])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_exactly_the_asked_share_of_each_layer_is_away(precision, tmp_path):
    zeros = Zeros()
    fit(tmp_path, DenseSparseDense(**SHORT), zeros, precision=precision)
    sizes = [6 * 27, 10 * 54, 6400]
    away = [round(0.3 * size) for size in sizes]
    for step, counts in enumerate(zeros.counts):
        if step // STEPS in (1, 3):
            assert counts == away
        else:  # they return as zeros; those behind a filter whose map is zero have no gradient
            assert counts[:2] == [0, 0]
            assert counts[2] < away[2] / 10
    assert len(zeros.counts) == EPOCHS * STEPS


def test_one_list_for_the_whole_network(tmp_path):
    zeros = Zeros()
    fit(tmp_path, DenseSparseDense(**SHORT, whole_network=True), zeros)
    away = zeros.counts[STEPS]
    assert sum(away) == round(0.3 * (6 * 27 + 10 * 54 + 6400))
    assert away != [round(0.3 * size) for size in (6 * 27, 10 * 54, 6400)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted training."""
    return fit(tmp_path_factory.mktemp("whole"), DenseSparseDense(**SHORT), every_step=True)


@pytest.mark.parametrize(("epoch", "batch"), [(0, 3), (1, 0), (1, STEPS - 1), (2, 0), (3, 2)])
def test_resumed_at_any_step_equals_uninterrupted(epoch, batch, whole, tmp_path):
    crash = Crash("on_train_batch_end", epoch, batch)
    with pytest.raises(InterruptedError):
        fit(tmp_path / "broken", DenseSparseDense(**SHORT), crash, every_step=True)
    path = tmp_path / "broken" / "last.ckpt"
    assert_same_end(whole, fit(tmp_path / "broken", DenseSparseDense(**SHORT), ckpt_path=path, every_step=True))


def test_ranks_agree(tmp_path):
    class Agree(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            for parameter in pl_module.parameters():
                ranks = trainer.strategy.all_gather(parameter.detach())
                assert torch.equal(ranks[0], ranks[1])

    fit(tmp_path, DenseSparseDense(**SHORT), Agree(), **TWO)


@pytest.mark.parametrize("percent", [0, 100])
def test_refuses_to_remove_nothing_or_everything(percent):
    with pytest.raises(ValueError, match=f"percent={percent} must lie between 0 and 100"):
        DenseSparseDense(percent)


def test_refuses_phases_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match="DenseSparseDense needs more than 90 epochs"):
        fit(tmp_path, DenseSparseDense())
