"""Knowledge distillation."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn

from callbacks.earlier_networks import Role, load_network
from callbacks.other_networks import frozen_beside
from callbacks.remembered_scores import RememberedScores
from callbacks.teaching import Teaching
from pruning.undisturbed import undisturbed

TEACHER = Role(
    "teacher",
    instead="give the option network instead of teacher, with this file as its weights",
    of_embeddings="choose a teacher that was trained with cross-entropy",
)


class Distillation(Teaching):
    """Lets a trained network teach: its class scores are learned besides the labels.

    Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531: the loss becomes
    (1 - a) · loss + a · T² KL(teacher ‖ student), with class probabilities softened by T. Where the student gives
    embeddings, the scores of its readout are compared. The teacher is frozen, sees the student's images and is in no
    checkpoint, so a resumed run needs its file again.

    Args:
        teacher: checkpoint of an earlier run, ``runs/NAME/VERSION/checkpoints/best.ckpt``; its network is rebuilt from
            the run's ``config.yaml``.
        temperature: T, above 0; 1 takes the teacher's probabilities as they are.
        weight: a, from 0 to 1; 0 is training without a teacher.
        network: instead of ``teacher``: a network, with its own ``weights``; in Python, a function that makes it.
        remember: score all training images once, before the first step, and look the scores up from then on. Where
            nothing changes the images from epoch to epoch, the teacher then costs one pass in all; one that is not
            known is scored as ever. Each rank scores all images.
    """

    def __init__(
        self,
        teacher: str | None = None,
        temperature: float = 4.0,
        weight: float = 0.9,
        network: Callable[[], nn.Module] | None = None,
        remember: bool = False,
    ) -> None:
        super().__init__(temperature, weight)
        if (teacher is None) == (network is None):
            given = "neither" if teacher is None else "both"
            raise ValueError(
                f"Distillation needs one teacher, but got {given} of the options teacher and network: give a run's "
                "checkpoint as teacher, or a network with its own weights"
            )
        self.checkpoint, self.network, self.remember = teacher, network, remember
        self._begun = False  # the first batch of this fit

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        self._begun = False
        teacher = self._load()
        count = sum(parameter.numel() for parameter in teacher.parameters())
        source = self.checkpoint or "the option network"
        rank_zero_info(f"Distillation: the teacher is the {type(teacher).__name__} with {count:,} weights of {source}")
        self.teacher = frozen_beside(trainer, teacher)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if not self._begun:
            self._begin(trainer, pl_module, batch[0][:1])
            self._begun = True
        if batch_idx == 0 and isinstance(self.teacher, RememberedScores) and not self.teacher.knows(batch[0]).any():
            rank_zero_warn(
                "Distillation: remember=true saves nothing, as no image of this batch is a training image as it is "
                "stored: switch augmentations off, or remember"
            )

    def _begin(self, trainer: Trainer, pl_module: LightningModule, image: Tensor) -> None:
        """Compare the classes by one image (1, C, H, W); after that, score all of them if they are to be remembered."""
        assert self.teacher is not None
        with trainer.precision_plugin.forward_context(), torch.random.fork_rng(devices=[]):
            check_same_classes(self.teacher, pl_module, image)
            if self.remember:
                self.teacher = RememberedScores(self.teacher, plain_images(trainer))

    def _load(self) -> nn.Module:
        if self.network is None:
            return load_network(Path(self.checkpoint or "").expanduser(), TEACHER)
        with torch.random.fork_rng(devices=[]):
            return self.network()


def check_same_classes(teacher: nn.Module, pl_module: LightningModule, image: Tensor) -> None:
    """Refuse a teacher that scores an image (1, C, H, W) in more or fewer classes than the student."""
    with torch.no_grad(), undisturbed(pl_module):
        taught, learned = (scorer(image).shape[1] for scorer in (teacher, pl_module))
    if taught != learned:
        raise ValueError(
            f"Distillation: the teacher scores {taught} classes and the student {learned}: choose a teacher that was "
            "trained on the same classes"
        )


def plain_images(trainer: Trainer) -> Iterator[Tensor]:
    """All training images in batches, un-augmented, as the trainer hands them to the model; the same on every rank."""
    make = getattr(getattr(trainer, "datamodule", None), "plain_dataloader", None)
    if make is None:
        raise ValueError(
            "Distillation: remember=true needs all training images as they are: train with one of the datamodules, or "
            "set it to false"
        )
    for images, *_ in make():
        yield trainer.precision_plugin.convert_input(images.to(trainer.strategy.root_device))
