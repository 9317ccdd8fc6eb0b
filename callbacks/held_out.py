"""Images that training does not see, for plug-ins that have to look at some."""

from collections.abc import Iterator, Mapping
from typing import Any

from lightning import Trainer
from torch import Tensor


def held_out_batches(trainer: Trainer) -> Iterator[tuple[Tensor, Tensor]]:
    """This rank's validation images (N, C, H, W) and labels (N,); never test images.

    Raises:
        ValueError: if there are none.
    """
    loaders = trainer.val_dataloaders
    if loaders is None or not _listed(loaders):
        raise ValueError("there are no validation images to look at: set data.val_size above 0")
    return ((batch[0], batch[1]) for loader in _listed(loaders) for batch in loader)


def _listed(loaders: Any) -> list[Any]:
    """Whatever form a data module gives its loaders in."""
    if isinstance(loaders, Mapping):
        return list(loaders.values())
    return list(loaders) if isinstance(loaders, list | tuple) else [loaders]
