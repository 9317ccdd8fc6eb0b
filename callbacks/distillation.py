"""Knowledge distillation."""

from collections.abc import Callable
from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from callbacks.other_networks import frozen_beside
from callbacks.teachers import load_teacher
from callbacks.teaching import Teaching


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
    """

    def __init__(
        self,
        teacher: str | None = None,
        temperature: float = 4.0,
        weight: float = 0.9,
        network: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__(temperature, weight)
        if (teacher is None) == (network is None):
            given = "neither" if teacher is None else "both"
            raise ValueError(
                f"Distillation needs one teacher, but got {given} of the options teacher and network: give a run's "
                "checkpoint as teacher, or a network with its own weights"
            )
        self.checkpoint, self.network = teacher, network

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        teacher = self._load()
        count = sum(parameter.numel() for parameter in teacher.parameters())
        source = self.checkpoint or "the option network"
        rank_zero_info(f"Distillation: the teacher is the {type(teacher).__name__} with {count:,} weights of {source}")
        self.teacher = frozen_beside(trainer, teacher)

    def _load(self) -> nn.Module:
        if self.network is None:
            return load_teacher(Path(self.checkpoint or "").expanduser())
        with torch.random.fork_rng(devices=[]):
            return self.network()
