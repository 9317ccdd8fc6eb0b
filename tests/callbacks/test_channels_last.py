"""Weights with the channels last, of the trained network and of those beside it."""

import pytest
import torch
from lightning import Trainer

from callbacks import ChannelsLast, Distillation, UniversalPerturbation
from lightning_modules import Classifier
from networks import CifarResNet

LAST = torch.channels_last


@pytest.mark.parametrize(("callbacks", "last"), [([ChannelsLast()], True), ([], False)])
def test_networks_beside_the_trained_one_are_kept_as_it_is(callbacks, last):
    model, other, teacher = (CifarResNet(depth=20) for _ in range(3))
    beside, taught = UniversalPerturbation(networks=[lambda: other]), Distillation(network=lambda: teacher)
    trainer = Trainer(callbacks=[beside, taught, *callbacks], logger=False, accelerator="cpu")
    module = Classifier(model)
    for callback in trainer.callbacks:
        callback.setup(trainer, module, "test")
        callback.setup(trainer, module, "fit")
    for network in (model, other, teacher):
        assert network.conv1.weight.is_contiguous(memory_format=LAST) == last
