"""RePr on two gloo ranks: they agree, and equal one process with the joint batch, whatever the ranking."""

import pytest
import torch
from lightning import Callback

from callbacks import ChannelsLast, RePr
from datamodules import Digits
from pruning import (
    Activations,
    APoZ,
    Gradients,
    GreedyOracle,
    Hessian,
    Orthogonality,
    Random,
    Taylor,
    WeightNorm,
)
from tests.callbacks.pruning_runs import TwoLayers, fit

RANKINGS = {
    "orthogonality": Orthogonality(),
    "weights": WeightNorm(),
    "random": Random(),
    "activations": Activations(),
    "apoz": APoZ(),
    "gradients": Gradients(),
    "taylor": Taylor(),
    "hessian": Hessian(probes=2),
    "oracle": GreedyOracle(),
}
TWO = {"devices": 2, "strategy": "ddp_fork"}


class Bring(Callback):
    """Brings out of the workers what they ended with, after having asserted that they agree."""

    def __init__(self, path, repr_):
        self.path, self.repr = path, repr_

    def on_train_end(self, trainer, pl_module):
        for name, parameter in pl_module.named_parameters():
            ranks = trainer.strategy.all_gather(parameter.detach())
            assert trainer.world_size == 1 or torch.equal(ranks[0], ranks[1]), name
        histories = [None] * trainer.world_size
        if trainer.world_size > 1:
            torch.distributed.all_gather_object(histories, self.repr.pruned_history)
            assert histories[0] == histories[1]
        if trainer.is_global_zero:
            torch.save({"weights": pl_module.state_dict(), "history": self.repr.pruned_history}, self.path)


def calm(parameters):
    """Without momentum, so that rounding does not grow much."""
    return torch.optim.SGD(parameters, lr=0.02)


def train(folder, ranking, batch_size, *callbacks, batch_norm=False, **ranks):
    repr_ = RePr(40, 1, 1, 2, ranking=ranking)
    data = Digits(batch_size=batch_size, eval_batch_size=90, val_size=360, drop_last=True)
    bring = Bring(folder / "end.pt", repr_)
    folder.mkdir()
    torch.manual_seed(0)
    network = TwoLayers(batch_norm)
    fit(folder, repr_, *callbacks, bring, network=network, optimizer=calm, data=data, **ranks)
    return torch.load(folder / "end.pt", weights_only=True)


@pytest.mark.parametrize("ranking", RANKINGS.values(), ids=RANKINGS)
def test_two_ranks_equal_one_process(ranking, tmp_path):
    one = train(tmp_path / "one", ranking, 100)
    two = train(tmp_path / "two", ranking, 50, **TWO)
    assert len(one["history"]) == 2
    assert one["history"] == two["history"]
    for name, weights in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], weights, rtol=0, atol=1e-4)  # processors round differently


def test_ranks_agree_with_batch_statistics_and_channels_last(tmp_path):
    train(tmp_path / "two", Taylor(), 50, ChannelsLast(), batch_norm=True, **TWO)
