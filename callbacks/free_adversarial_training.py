"""Adversarial training at the price of standard training."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.hardening import Hardening, put_images


class FreeAdversarialTraining(Hardening):
    """Hardens a network without passes of its own: a batch is trained on several times, and attacked by the way.

    Shafahi et al. 2019, "Adversarial Training for Free!", arXiv 1904.12843, algorithm 1: the backward pass of a
    training step gives the gradient of the images, too, along which the perturbation moves before the same batch comes
    again; it goes over to the next batch. Of each epoch's batches, one in ``replays`` is used, so an epoch takes as
    long as one of standard training and sees a part of the images.

    Args:
        eps: radius of the L∞ ball, in pixels scaled to [0, 1].
        replays: how often a batch is trained on in a row.
        step: of the perturbation, in pixels scaled to [0, 1]; eps by default, as in the paper.
    """

    def __init__(self, eps: float = 8 / 255, replays: int = 4, step: float | None = None) -> None:
        if not 0 <= eps <= 1:
            raise ValueError(f"FreeAdversarialTraining: eps={eps} must lie in [0, 1]: write 8/255 as 0.03137")
        if replays < 1:
            raise ValueError(f"FreeAdversarialTraining: replays={replays} must be 1 or more")
        if step is not None and not step >= 0:
            raise ValueError(
                f"FreeAdversarialTraining: step={step} must be 0 or more: below, images would be made easier"
            )
        self.eps, self.replays, self.step = eps, replays, eps if step is None else step
        self.kept: list[Tensor] = []  # images and labels that come again
        self.delta = torch.zeros(0)  # (N, C, H, W)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if batch_idx % self.replays == 0 or not self.kept:
            self.kept = [batch[0], batch[1]]
        images, labels = (part.to(batch[0].device) for part in self.kept)
        self.delta = fitted(self.delta, images)
        put_images(batch, (images + self.delta).clamp(0, 1).requires_grad_())
        batch[1] = labels

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        gradient = batch[0].grad
        if gradient is not None:
            # A loss that overflowed in half precision must not stay in the perturbation.
            self.delta = (self.delta + self.step * gradient.sign().nan_to_num(0.0)).clamp(-self.eps, self.eps)
            batch[0].grad = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.kept = []

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Each rank has a batch and a perturbation of its own."""
        own = [part.cpu() for part in (*self.kept, self.delta)]
        ranks = [own]
        if trainer.world_size > 1:
            ranks = [[] for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(ranks, own)
        checkpoint["free_adversarial_training"] = ranks

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        ranks = checkpoint.get("free_adversarial_training", [])
        if len(ranks) == trainer.world_size:  # with another number of ranks the perturbation begins at zero
            *self.kept, self.delta = ranks[trainer.global_rank]


def fitted(delta: Tensor, images: Tensor) -> Tensor:
    """A perturbation for these images (N, C, H, W): its first N rows, and zeros where it has fewer or other ones."""
    if delta.shape[1:] != images.shape[1:]:
        return torch.zeros_like(images)
    delta = delta[: len(images)].to(images)
    return torch.cat([delta, torch.zeros_like(images[len(delta) :])])
