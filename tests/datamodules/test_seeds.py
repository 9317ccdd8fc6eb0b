"""The seed of shuffles and augmentations."""

import torch
from lightning import seed_everything

from datamodules import Digits


def first_labels(data):
    data.setup("fit")
    return next(iter(data.train_dataloader()))[1]


def test_the_order_follows_seed_everything():
    data = Digits()
    seed_everything(1)
    one = first_labels(data)
    seed_everything(2)
    other = first_labels(data)
    assert not torch.equal(one, other)
    seed_everything(1)
    assert torch.equal(one, first_labels(data))


def test_a_resumed_run_keeps_its_own_seed():
    interrupted, resumed = Digits(), Digits()
    seed_everything(1)
    order = first_labels(interrupted)
    seed_everything(2)
    resumed.setup("fit")
    resumed.load_state_dict(interrupted.state_dict())
    assert torch.equal(next(iter(resumed.train_dataloader()))[1], order)
