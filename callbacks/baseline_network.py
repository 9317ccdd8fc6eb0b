"""A baseline that is tested beside the network, on the very same corrupted images."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from lightning import Trainer
from torch import Tensor, nn

from callbacks.corruption_baselines import Baseline, Errors, Trial
from callbacks.earlier_networks import Role, load_network
from callbacks.other_networks import put_beside
from metrics import CorruptionError as ErrorCounts

BASELINE = Role(
    "baseline",
    instead="give BaselineNetwork the option network, with this file as its weights",
    of_embeddings="test its run on corrupted images and give the run's folder",
)


class BaselineNetwork(Baseline):
    """Another network, tested beside this one on the very same images; the path of a checkpoint means the same.

    No earlier test is needed, and images are corrupted once for both. It stands alone: a defence that is put before the
    network under test is not put before the baseline.

    Args:
        checkpoint: of an earlier run, ``runs/NAME/VERSION/checkpoints/best.ckpt``; its network is rebuilt from the
            run's ``config.yaml``.
        network: instead of ``checkpoint``: a network that gives class scores, with its own ``weights``; in Python, a
            function that makes it.
    """

    def __init__(self, checkpoint: str | None = None, network: Callable[[], nn.Module] | None = None) -> None:
        if (checkpoint is None) == (network is None):
            given = "neither" if checkpoint is None else "both"
            raise ValueError(
                f"BaselineNetwork needs one network, but got {given} of the options checkpoint and network: give a "
                "run's checkpoint, or a network with its own weights"
            )
        path = Path(checkpoint or "").expanduser()
        self.make = partial(load_network, path, BASELINE) if network is None else network
        self.name = str(path) if network is None else "the given network"
        self.network: nn.Module = nn.Identity()
        self.counts = ErrorCounts()

    def __repr__(self) -> str:
        return self.name

    def put_beside(self, trainer: Trainer, corruptions: Sequence[str], severities: Sequence[int]) -> None:
        """Have the network on the device, and count from zero."""
        self.network = put_beside(trainer, {"baseline": self.make})["baseline"]
        self.counts = ErrorCounts(len(corruptions), len(severities)).to(trainer.strategy.root_device)

    def leave(self) -> None:
        """Free the network's memory."""
        self.network = nn.Identity()

    def scores(self, images: Tensor, classes: int) -> Tensor:
        """Class scores (N, classes) of images (N, C, H, W); refuses images and classes that it was not made for."""
        try:
            scores: Tensor = self.network(images)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"CorruptionError: baseline={self} does not take the test images of {tuple(images.shape[1:])} "
                f"({' '.join(str(error).split())}): choose a baseline that was trained on images of this shape"
            ) from error
        if scores.shape != (wanted := (len(images), classes)):
            raise ValueError(
                f"CorruptionError: baseline={self} gives scores of shape {tuple(scores.shape)}, and the tested network "
                f"{wanted}: choose a baseline that was trained on the same classes"
            )
        return scores

    def errors(self, trial: Trial) -> Errors:
        return counted_errors(self.counts, trial)


def counted_errors(counts: ErrorCounts, trial: Trial) -> Errors:
    """Error rates over all images and ranks, on the CPU."""
    found = {name: value.cpu() for name, value in counts.compute().items()}
    # torchmetrics makes numbers of single ones.
    return Errors(found["clean"], found["errors"].view(len(trial.corruptions), len(trial.severities)))
