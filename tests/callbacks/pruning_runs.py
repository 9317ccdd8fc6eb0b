"""Short trainings that can be killed and resumed, for callbacks that change weights."""

import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from cli.checkpoint_io import AtomicCheckpointIO
from datamodules import Digits, RandomCrop
from lightning_modules import Classifier

EPOCHS, STEPS = 6, 5  # of a training, of an epoch


class TwoLayers(nn.Module):
    """Two convolutions, with batch statistics and dropout, so that a forgotten random state shows."""

    def __init__(self, batch_norm=True):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=4),
            nn.BatchNorm2d(6) if batch_norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(6, 10, 3, padding=1),
            nn.BatchNorm2d(10) if batch_norm else nn.Identity(),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2) if batch_norm else nn.Identity(),
            nn.Linear(640, 10),
        )

    def forward(self, images):
        return self.layers(images)


def momentum(parameters):
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=1e-2)


def fit(folder, *callbacks, network=None, optimizer=momentum, ckpt_path=None, every_step=False, data=None, **options):
    """Train; checkpoints are ``last`` after every epoch or step and ``best`` after every epoch. Returns the trainer."""
    seed_everything(3, verbose=False)
    torch.manual_seed(3)
    when = {"every_n_train_steps": 1} if every_step else {"save_on_train_epoch_end": True}
    last = ModelCheckpoint(folder, "last", enable_version_counter=False, **when)
    best = ModelCheckpoint(
        folder, "best", monitor="val/acc", mode="max", enable_version_counter=False, save_on_train_epoch_end=True
    )
    defaults = {
        "max_epochs": EPOCHS,
        "accelerator": "cpu",
        "logger": False,
        "default_root_dir": folder,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "limit_train_batches": STEPS,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
    }
    callbacks = [*callbacks, best, last]
    trainer = Trainer(plugins=[AtomicCheckpointIO()], callbacks=callbacks, **defaults | options)
    model = Classifier(network or TwoLayers(), optimizer=optimizer)
    trainer.fit(model, data or Digits(batch_size=100, augmentations=[RandomCrop(3)]), ckpt_path=ckpt_path)
    return trainer


def assert_same_end(one, other):
    """Weights, buffers and what the optimisers remember are equal to the last bit."""
    states = [trainer.lightning_module.state_dict() for trainer in (one, other)]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    memories = [trainer.optimizers[0].state_dict()["state"] for trainer in (one, other)]
    for index, memory in memories[0].items():
        for name, value in memory.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(memories[1][index][name])), (index, name)
