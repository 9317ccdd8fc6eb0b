"""Filters that repeat others cost something."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.loss_callback import LossCallback, classifier
from pruning import Site, find_sites, orthogonality_loss, orthogonality_sum


class OrthogonalityPenalty(LossCallback):
    """Adds to the training loss how much the filters of each layer resemble each other.

    Prakash et al. 2019, "RePr: Improved Training of Convolutional Filters", arXiv 1811.07275: λ Σ |ŴŴᵀ - I| over all
    convolutions, with the filters as rows of length one. Filters that RePr has removed have no part in it. Logs Σ, as
    ``train/orthogonality``, at the end of each epoch.

    Args:
        weight: λ, at least 0.
    """

    def __init__(self, weight: float = 0.01) -> None:
        if not weight >= 0:
            raise ValueError(f"OrthogonalityPenalty: weight={weight} must be 0 or more")
        self.weight = weight
        self.sites: list[Site] = []
        self.network = torch.nn.Module()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.network, self.sites = classifier(pl_module).network, []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if not self.sites:  # the first batch tells the size of the images
            self.sites = find_sites(self.network, torch.zeros_like(batch[0][:1])).sites

    def term(self, loss: Tensor, images: Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
        return loss + self.weight * orthogonality_loss(self.network, self.sites)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.sites:
            total = sum(orthogonality_sum(self.network, self.sites).values())
            # The ranks' weights are equal; the maximum of equal numbers keeps the figure to the last bit.
            pl_module.log("train/orthogonality", total, sync_dist=True, reduce_fx="max")
