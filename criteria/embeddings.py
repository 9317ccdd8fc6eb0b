"""What becomes of a network's outputs before distances between them count."""

from contextlib import nullcontext
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modes import evaluating
from options import by_name

EmbeddingName = Literal["sphere"]


class Sphere(nn.Module):
    """Embeddings of length one, in full precision."""

    def forward(self, outputs: Tensor) -> Tensor:  # (N, d)
        return F.normalize(full_precision(outputs), dim=1)


class BatchStatistics(nn.Module):
    """Embeddings whose coordinates have mean 0 and variance 1 over a batch; in evaluation, over past batches.

    For pictures of embeddings in the plane, where points of length one would all lie on a circle (Bontonou et al. 2019,
    figure 1). With several ranks, ``trainer.sync_batchnorm`` takes the statistics of all. A single image, such as a
    last batch may be, has none, and takes those of past batches.

    Args:
        width: d, the number of the network's outputs.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"BatchStatistics: width={width} must be at least 1: the number of the network's outputs")
        self.statistics = nn.BatchNorm1d(width, affine=False)

    def forward(self, outputs: Tensor) -> Tensor:  # (N, d)
        alone = len(outputs) == 1 and isinstance(self.statistics, nn.BatchNorm1d)
        with evaluating(self.statistics) if alone else nullcontext():
            embeddings: Tensor = self.statistics(outputs.to(self.statistics.get_buffer("running_mean").dtype))
        return full_precision(embeddings)


def embedding_of(value: nn.Module | str) -> nn.Module:
    """A module from outputs to embeddings (N, d), or the one of this short name."""
    return by_name("normalize", value, {"sphere": Sphere})


def full_precision(tensor: Tensor) -> Tensor:
    """At least float32."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
