"""Every attack inside Lightning's test loop, in one process and under two ranks."""

import pytest
import torch
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

from tests.attacks.test_contracts import ROWS, BreaksDown, state

QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
RANKS = pytest.mark.parametrize("ranks", [{"devices": 1}, {"devices": 2, "strategy": "ddp_fork"}], ids=["one", "two"])


class Attacked(LightningModule):
    """Attacks its test images and compares with what came out elsewhere."""

    def __init__(self, network, expected):
        super().__init__()
        self.network, self.expected = network, expected

    def forward(self, images):
        return self.network(images)

    def test_step(self, batch, batch_idx):
        images, labels, places = batch
        assert not torch.is_grad_enabled()  # in inference mode, but under gloo without gradients only
        before = state(self)
        for row, expected in zip(ROWS, self.expected, strict=True):
            result = row.attack(self, images, labels)
            torch.testing.assert_close(result.images, expected.images[places], rtol=0, atol=1e-8, msg=row.name)
            assert torch.equal(result.success, expected.success[places]), row.name
        torch.testing.assert_close(state(self), before, rtol=0, atol=0)


class Failing(Attacked):
    """Attacks a network that fails under way."""

    def test_step(self, batch, batch_idx):
        before = state(self)
        for row in ROWS:
            self.network.healthy = 1
            with pytest.raises(RuntimeError, match="on purpose"):
                row.attack(self, *batch[:2])
        torch.testing.assert_close(state(self), before, rtol=0, atol=0)


def loop(module, images, labels, **options):
    data = TensorDataset(images, labels, torch.arange(len(images)))
    Trainer(**QUIET, **options).test(module, DataLoader(data, batch_size=3), verbose=False)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:Using `DistributedSampler`")
@RANKS
def test_results_are_those_of_a_plain_call(ranks, network, correct):
    images, labels = correct[0][:8].double(), correct[1][:8]
    network = network.double().train()  # Lightning sets eval mode for the loop, and train mode again
    expected = [row.attack(network, images, labels) for row in ROWS]
    loop(Attacked(network, expected), images, labels, **ranks)
    assert network.training


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:Using `DistributedSampler`")
@RANKS
def test_nothing_is_left_behind_after_an_error(ranks, network, correct):
    loop(Failing(BreaksDown(network), []), correct[0][:6], correct[1][:6], **ranks)
