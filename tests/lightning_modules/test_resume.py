"""A run that is killed and resumed ends bit-equal to one that was not."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from cli.checkpoint_io import AtomicCheckpointIO
from datamodules import Digits, RandomCrop
from lightning_modules import Classifier

PROJECT = Path(__file__).parents[2]


class Small(nn.Module):
    """With batch statistics and dropout, so that a forgotten random state shows."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=4),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(256, 10),
        )

    def forward(self, images):
        return self.layers(images)


class Crash(Callback):
    """Stops the run in a hook, as if the machine had failed there."""

    def __init__(self, hook, epoch, batch=None):
        def fail(trainer, *args, **kwargs):
            if trainer.current_epoch == epoch and (batch is None or args[3] == batch) and not trainer.sanity_checking:
                raise InterruptedError(hook)

        setattr(self, hook, fail)


class Record(Callback):
    """Every figure of every epoch."""

    def __init__(self):
        self.figures = {}

    def on_validation_end(self, trainer, pl_module):
        self.keep(trainer.current_epoch, trainer.callback_metrics, "val/")

    def on_train_epoch_start(self, trainer, pl_module):
        self.keep(trainer.current_epoch - 1, trainer.callback_metrics, "train/")

    def on_train_end(self, trainer, pl_module):
        self.keep(3, trainer.callback_metrics, "train/")

    def keep(self, epoch, metrics, prefix):
        found = {name: value.item() for name, value in metrics.items() if name.startswith(prefix)}
        self.figures.setdefault(epoch, {}).update(found)


def run(folder, *extra, ckpt_path=None, every_n_train_steps=None, limit_train_batches=None):
    seed_everything(3)
    by_epoch = {"save_on_train_epoch_end": True} if every_n_train_steps is None else {}
    last = ModelCheckpoint(
        folder, "last", enable_version_counter=False, every_n_train_steps=every_n_train_steps, **by_epoch
    )
    record = Record()
    trainer = Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        limit_train_batches=limit_train_batches,
        plugins=[AtomicCheckpointIO()],
        callbacks=[record, *extra, last],
    )
    model = Classifier(
        Small(),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2),
    )
    data = Digits(batch_size=200, augmentations=[RandomCrop(3)])  # 7 steps per epoch
    trainer.fit(model, data, ckpt_path=ckpt_path)
    return model, trainer.optimizers[0].state_dict(), record.figures


def assert_equal_runs(one, other, figures_from):
    for (name, a), b in zip(one[0].state_dict().items(), other[0].state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for index, state in one[1]["state"].items():
        assert torch.equal(state["momentum_buffer"], other[1]["state"][index]["momentum_buffer"])
    for epoch in range(figures_from, 4):
        assert one[2][epoch] == other[2][epoch]


@pytest.mark.parametrize(
    "hook", ["on_validation_start", "on_validation_end", "on_train_epoch_end", "on_train_epoch_start"]
)
def test_resumed_at_an_epochs_end_equals_uninterrupted(hook, tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(InterruptedError):
        run(tmp_path / "broken", Crash(hook, epoch=2))
    resumed = run(tmp_path / "broken", ckpt_path=str(tmp_path / "broken" / "last.ckpt"))
    assert_equal_runs(whole, resumed, figures_from=2)


@pytest.mark.parametrize("batch", [0, 3, 6])
def test_resumed_in_the_middle_of_an_epoch_equals_uninterrupted(batch, tmp_path):
    whole = run(tmp_path / "whole", every_n_train_steps=1)
    with pytest.raises(InterruptedError):
        run(tmp_path / "broken", Crash("on_train_batch_end", epoch=2, batch=batch), every_n_train_steps=1)
    resumed = run(tmp_path / "broken", ckpt_path=str(tmp_path / "broken" / "last.ckpt"), every_n_train_steps=1)
    assert_equal_runs(whole, resumed, figures_from=2)


def test_resumed_after_epochs_that_were_cut_short(tmp_path):
    whole = run(tmp_path / "whole", limit_train_batches=3)
    with pytest.raises(InterruptedError):
        run(tmp_path / "broken", Crash("on_validation_end", epoch=2), limit_train_batches=3)
    resumed = run(tmp_path / "broken", ckpt_path=str(tmp_path / "broken" / "last.ckpt"), limit_train_batches=3)
    assert_equal_runs(whole, resumed, figures_from=2)


KILLED_WHILE_SAVING = """
import os, signal, torch
torch.set_num_threads(1)
from cli import checkpoint_io
from tests.lightning_modules.test_resume import run

write, saves = checkpoint_io.write_durably, []

def write_half_of_the_third(checkpoint, path):
    saves.append(path)
    write(checkpoint, path)
    if len(saves) == 3:
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint_io.write_durably = write_half_of_the_third
run("broken")
"""


def test_killed_while_the_checkpoint_was_being_written(tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(PROJECT)!r})" + KILLED_WHILE_SAVING],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert torch.load(tmp_path / "broken" / "last.ckpt", weights_only=True)["epoch"] == 1
    resumed = run(tmp_path / "broken", ckpt_path=str(tmp_path / "broken" / "last.ckpt"))
    assert_equal_runs(run(tmp_path / "whole"), resumed, figures_from=2)
