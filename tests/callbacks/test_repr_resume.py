"""A RePr run that is killed and resumed ends bit-equal to one that was not: on two ranks, in steps, with images."""

import pytest
import torch
from lightning import Callback
from torch.multiprocessing.spawn import ProcessRaisedException

from callbacks import RePr
from datamodules import Digits, RandomCrop
from pruning import Taylor
from tests.callbacks.pruning_runs import assert_same_end, fit
from tests.lightning_modules.test_resume import Crash

TWO = {"devices": 2, "strategy": "ddp_fork"}


class End(Callback):
    """Brings out of the workers what they ended with."""

    def __init__(self, path, repr_):
        self.path, self.repr = path, repr_

    def on_train_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            memories = trainer.optimizers[0].state_dict()["state"]
            momenta = {str(index): memory["momentum_buffer"] for index, memory in memories.items()}
            torch.save({"history": self.repr.pruned_history, "tensors": momenta | pl_module.state_dict()}, self.path)


def on_two_ranks(folder, *callbacks, ckpt_path=None):
    """One full, one pruned and one full epoch."""
    repr_, data = RePr(40, 1, 1, 1), Digits(batch_size=50, augmentations=[RandomCrop(3)])
    callbacks = repr_, End(folder / "end.pt", repr_), *callbacks
    fit(folder, *callbacks, data=data, max_epochs=3, every_step=True, ckpt_path=ckpt_path, **TWO)
    return torch.load(folder / "end.pt", weights_only=True)


def test_resumed_in_a_pruned_phase_on_two_ranks_equals_uninterrupted(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = on_two_ranks(tmp_path / "whole")
    with pytest.raises(ProcessRaisedException, match="InterruptedError"):
        on_two_ranks(tmp_path / "broken", Crash("on_train_batch_end", 1, 2))
    resumed = on_two_ranks(tmp_path / "broken", ckpt_path=tmp_path / "broken" / "last.ckpt")
    assert resumed["history"] == whole["history"]
    assert len(whole["history"]) == 1
    for name, value in whole["tensors"].items():
        assert torch.equal(resumed["tensors"][name], value), name


RUNS = {
    "steps": (lambda: RePr(40, 3, 2, 2, unit="step"), {"accumulate_grad_batches": 2}),  # an epoch has 3
    "taylor": (lambda: RePr(40, 1, 1, 1, ranking=Taylor()), {}),
}
BREAKS = [
    *(("steps", epoch, batch) for epoch, batch in [(1, 2), (1, 4), (3, 1)]),  # pruned, half-way to a step; full; pruned
    *(("taylor", epoch, batch) for epoch, batch in [(0, 4), (1, 2), (3, 2)]),  # the last full phase at last
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The trainings that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    return {
        name: fit(folder / name, make(), every_step=True, max_epochs=4, **options)
        for name, (make, options) in RUNS.items()
    }


@pytest.mark.parametrize(("name", "epoch", "batch"), BREAKS)
def test_resumed_equals_uninterrupted(name, epoch, batch, whole, tmp_path):
    make, options = RUNS[name]
    options = {**options, "every_step": True, "max_epochs": 4}
    with pytest.raises(InterruptedError):
        fit(tmp_path, make(), Crash("on_train_batch_end", epoch, batch), **options)
    assert_same_end(whole[name], fit(tmp_path, make(), ckpt_path=tmp_path / "last.ckpt", **options))
