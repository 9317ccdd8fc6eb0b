"""Training on adversarial examples."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from attacks import PGD
from attacks.fixed_budget import FixedBudget
from attacks.stops import Never
from callbacks.hardening import Hardening, put_images


class AdversarialTraining(Hardening):
    """Hardens a network: it is trained on images that an attack has just changed against it.

    Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", arXiv 1706.06083; Mejia et al.
    2019, "Robust or Private?", arXiv 1906.06449. BatchNorm and dropout are in eval mode during the attack, which leaves
    gradients, statistics and random states of the training as they are. Each step costs as many forward and backward
    passes more as the attack has steps. Validation sees clean images.

    Args:
        attack: with a fixed budget; PGD in the L∞ ball of 8/255 with 7 steps of 2/255 by default. One step of 1.25 eps
            is the fast training of Wong et al. 2020, arXiv 2001.03994. One that does not say ``stop: never`` earns a
            warning.
        clean_fraction: share of each batch that stays as it is, from 0 to below 1.
        warmup_epochs: over so many epochs the budget grows in equal parts to its full size.
    """

    def __init__(self, attack: FixedBudget | None = None, clean_fraction: float = 0.0, warmup_epochs: int = 0) -> None:
        if not 0 <= clean_fraction < 1:
            raise ValueError(
                f"AdversarialTraining: clean_fraction={clean_fraction} must be at least 0 and below 1, where nothing "
                "is attacked"
            )
        if warmup_epochs < 0:
            raise ValueError(f"AdversarialTraining: warmup_epochs={warmup_epochs} must be 0 or more")
        self.attack = attack or PGD(eps=8 / 255, step=2 / 255, steps=7)
        self.clean_fraction, self.warmup_epochs = clean_fraction, warmup_epochs
        self.seed = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and not isinstance(self.attack.stop, Never):
            rank_zero_warn(
                f"AdversarialTraining: {type(self.attack).__name__} may leave an image before its last step "
                f"(stop={self.attack.stop}), which makes training milder: `stop: never` gives the usual adversarial "
                "training"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.seed:  # else the run is resumed
            self.seed = int(trainer.strategy.broadcast(torch.initial_seed() % 2**31)) + 1

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        images, labels = batch[0], batch[1]
        count = len(images) - round(self.clean_fraction * len(images))  # the order of a batch is random already
        generator = torch.Generator().manual_seed(self._key(trainer, batch_idx))
        with trainer.precision_plugin.forward_context():
            attacked = self._attack(trainer).perturb(pl_module, images[:count], labels[:count], generator=generator)
        put_images(batch, torch.cat([attacked, images[count:]]))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["adversarial_training"] = {"seed": self.seed}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.seed = checkpoint.get("adversarial_training", {"seed": 0})["seed"]

    def _attack(self, trainer: Trainer) -> FixedBudget:
        share = (trainer.current_epoch + 1) / (self.warmup_epochs + 1)
        return self.attack if share >= 1 else self.attack.at(share * self.attack.eps)

    def _key(self, trainer: Trainer, batch_idx: int) -> int:
        """Of the random starts: other ones in each step and on each rank, the same after a resume."""
        return hash((self.seed, trainer.current_epoch, batch_idx, trainer.global_rank)) % 2**63
