"""Attacked images in place of a batch's own."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from attacks import attackable
from attacks.attack import Model
from attacks.checks import check_classes, check_images, check_pixels


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


def check_attacked(model: Model, images: Tensor, labels: Tensor) -> None:
    """Refuse images (N, C, H, W) that leave [0, 1], and labels (N,) that are no classes of the model."""
    check_images(images)
    check_pixels(images)
    with attackable(model, images, labels) as (images, labels), torch.no_grad():
        check_classes(labels, None, model(images))


class Hardening(Callback):
    """A callback that trains on attacked images; one is enough.

    The first batch of a fit is checked, with a forward pass of its own: later ones would make a device wait each time.
    It keeps no ``state_dict``, of which Lightning allows one per class, so that a second one is refused in words.
    """

    checked = False  # the first batch of this fit

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.checked = False
        others = [one for one in trainer.callbacks if isinstance(one, Hardening) and one is not self]  # type: ignore[attr-defined]
        if others and stage == "fit":
            raise ValueError(
                f"{type(self).__name__} and {type(others[0]).__name__} would both attack the images of a batch: remove "
                "one of them"
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if not self.checked:
            with trainer.precision_plugin.forward_context():
                check_attacked(pl_module, batch[0], batch[1])
            self.checked = True
