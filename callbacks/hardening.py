"""Attacked images in place of a batch's own."""

from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor


def put_images(batch: Any, images: Tensor) -> None:
    """Let a training, validation or test step see other images (N, C, H, W).

    Raises:
        TypeError: the batch can't be changed in place.
    """
    if not isinstance(batch, list):
        raise TypeError(
            f"the loader yields a {type(batch).__name__}, in which images can't be replaced: let it yield a list "
            "[images, labels]"
        )
    batch[0] = images


class Hardening(Callback):
    """A callback that trains on attacked images; one is enough.

    It keeps no ``state_dict``, of which Lightning allows one per class, so that a second one is refused in words.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        others = [one for one in trainer.callbacks if isinstance(one, Hardening) and one is not self]  # type: ignore[attr-defined]
        if others and stage == "fit":
            raise ValueError(
                f"{type(self).__name__} and {type(others[0]).__name__} would both attack the images of a batch: remove "
                "one of them"
            )
