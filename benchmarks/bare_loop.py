"""A training loop without a framework, and the callback that times it in turns with the trainer it is plugged into."""

import copy
import time
from collections.abc import Iterable
from itertools import chain, islice, repeat
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from datamodules import ImageDataModule
from datamodules.sources import TensorSource


class RandomImages(ImageDataModule):
    """Random images of 32x32 in 10 classes, on which speed can be measured without data.

    Args:
        count: number of training images; as many as a batch of validation are added.
    """

    num_classes = 10
    mean = (0.5,) * 3
    std = (0.3,) * 3

    def __init__(self, count: int = 25_600, **kwargs: Any) -> None:
        super().__init__(val_size=500, **kwargs)
        self.count = count + self.val_size

    def read(self, train: bool) -> TensorSource:
        """The same bytes each time."""
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (self.count, 3, 32, 32), generator=generator, dtype=torch.uint8)
        return TensorSource(images, torch.randint(10, (self.count,), generator=generator))


class NullNetwork(nn.Module):
    """Scores that cost next to nothing: a linear map of the first pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 10)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.linear(images[:, :, 0, 0])
        return scores


class BareLoop:
    """What somebody writes by hand: a batch, cross-entropy, one step of the optimiser; nothing is counted or logged.

    Args:
        network: of its own.
        optimizer: of the network's parameters.
        loader: of batches on the training device.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, loader: Iterable[list[Tensor]]) -> None:
        self.network, self.optimizer = network, optimizer
        self.batches = chain.from_iterable(repeat(loader))

    def run(self, steps: int) -> None:
        """Train on the next batches."""
        for images, labels in islice(self.batches, steps):
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.network(images), labels).backward()
            self.optimizer.step()


class BesideBareLoop(Callback):
    """Times the trainer's steps and those of a bare loop in turns, on a copy of its network and the same loader.

    A trainer's step runs from one ``on_train_batch_end`` to the next. ``trained`` and ``bare`` hold seconds per step,
    one number for each round; the first round is left out.

    Args:
        steps: of each in a round.
    """

    def __init__(self, steps: int = 50) -> None:
        self.steps = steps
        self.loop: BareLoop | None = None
        self.trained: list[float] = []
        self.bare: list[float] = []
        self.started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network: Any = copy.deepcopy(pl_module.network)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)  # the classifier's default
        self.loop = BareLoop(network, optimizer, data.train_dataloader())
        self.trained, self.bare, self.started = [], [], now(pl_module.device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % self.steps or self.loop is None:
            return
        ended = now(pl_module.device)
        self.loop.run(self.steps)
        self.trained.append((ended - self.started) / self.steps)
        self.started = now(pl_module.device)
        self.bare.append((self.started - ended) / self.steps)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        del self.trained[:1], self.bare[:1]


def now(device: torch.device) -> float:
    """Seconds on a clock, after the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
