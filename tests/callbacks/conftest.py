"""Small runs that write reports."""

from pathlib import Path

import pytest
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

from datamodules import Digits
from lightning_modules import Classifier


@pytest.fixture
def classifier():
    """Makes a linear classifier of digits; the same one each time."""

    def make(num_classes=10):
        seed_everything(0, verbose=False)
        network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * 64, num_classes))
        return Classifier(network, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))

    return make


@pytest.fixture
def trainer(tmp_path):
    """Makes trainers of one run folder, ``tmp_path / "run" / "version_0"``."""

    def make(*callbacks, **options):
        callbacks = [*callbacks, ModelCheckpoint(filename="best", monitor="val/acc", mode="max", save_last=True)]
        defaults = {"accelerator": "cpu", "max_epochs": 2, "enable_progress_bar": False}
        defaults |= {"enable_model_summary": False, "num_sanity_val_steps": 1}
        logger = TensorBoardLogger(tmp_path, name="run", version=0, default_hp_metric=False)
        return Trainer(logger=logger, callbacks=callbacks, **defaults | options)

    return make


@pytest.fixture
def digits():
    """Makes the digits: 192 images for training, 360 for testing."""
    return lambda **options: Digits(**{"batch_size": 64, "eval_batch_size": 2000, "val_size": 1437 - 192, **options})


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where the trainers write."""
    return tmp_path / "run" / "version_0"
