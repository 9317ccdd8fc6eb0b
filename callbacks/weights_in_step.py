"""Weights that a callback changes, the same on all ranks and in their moving average."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn


@contextmanager
def weights_in_step(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """What is changed inside, in place, holds on every rank as on rank 0, and at once in averages of the weights.

    Else a moving average would mix the weights of a filter with those of the one that had its place before.
    """
    averages = [average for average in map(_average, trainer.callbacks) if average is not None]  # type: ignore[attr-defined]
    before = [tensor.clone() for tensor in tensors(pl_module)] if averages else []
    yield
    if trainer.world_size > 1:
        for tensor in tensors(pl_module):
            torch.distributed.broadcast(tensor, src=0)
    for average in averages:
        _adopt(average, pl_module, before)


def tensors(module: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers, without their history."""
    return (tensor.detach() for tensor in chain(module.parameters(), module.buffers()))


def _average(callback: object) -> nn.Module | None:
    """The averaged copy of the module that a callback keeps; Lightning has no public name for it."""
    model = callback._average_model if isinstance(callback, WeightAveraging) else None
    return model.module if model is not None else None


def _adopt(average: nn.Module, module: nn.Module, before: list[Tensor]) -> None:
    """Take over the elements that have changed."""
    for old, now, averaged in zip(before, tensors(module), tensors(average)):
        averaged.copy_(torch.where(now == old, averaged, now.to(averaged.device)))
