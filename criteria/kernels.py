"""How similar two embeddings are."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from options import by_name

MetricName = Literal["l2", "cosine"]


class Metric(ABC):
    """A distance of embeddings. Coincident points have distance 0 and gradient 0."""

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def points(self, embeddings: Tensor) -> Tensor:
        """Points (N, d) whose Euclidean order is this distance's order."""

    @abstractmethod
    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances of embeddings (..., d) that broadcast, (...)."""

    @abstractmethod
    def table(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances of each of (N, d) to each of (M, d), (N, M)."""


class Euclidean(Metric):
    """The length of the difference, not squared."""

    def points(self, embeddings: Tensor) -> Tensor:
        return embeddings

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        distances: Tensor = torch.linalg.vector_norm(a - b, dim=-1)
        return distances

    def table(self, a: Tensor, b: Tensor) -> Tensor:
        # Not from scalar products, whose rounding is as large as the distances of neighbours.
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


class Cosine(Metric):
    """One minus the cosine of the angle; of points of length one, half their squared Euclidean distance."""

    def points(self, embeddings: Tensor) -> Tensor:
        return F.normalize(embeddings, dim=-1)

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        return (self.points(a) - self.points(b)).square().sum(-1) / 2

    def table(self, a: Tensor, b: Tensor) -> Tensor:
        return Euclidean().table(self.points(a), self.points(b)).square() / 2


class Kernel:
    """The similarity exp(-α · distance), between 0 and 1.

    Args:
        alpha: α, above 0.
        metric: the distance, ``l2`` or ``cosine``, or an object.
    """

    def __init__(self, alpha: float = 2.0, metric: Metric | MetricName = "l2") -> None:
        if not 0 < alpha < torch.inf:
            raise ValueError(f"alpha={alpha} must be above 0: similar embeddings must weigh more than distant ones")
        self.alpha, self.metric = alpha, metric_of(metric)

    def __repr__(self) -> str:
        return f"Kernel(alpha={self.alpha}, metric={self.metric!r})"

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Similarities of embeddings (..., d) that broadcast, (...)."""
        return (-self.alpha * self.metric.between(a, b)).exp()

    def table(self, a: Tensor, b: Tensor) -> Tensor:
        """Similarities of each of (N, d) to each of (M, d), (N, M)."""
        return (-self.alpha * self.metric.table(a, b)).exp()


def metric_of(value: Metric | MetricName) -> Metric:
    """A metric, or the one of this short name."""
    return by_name("metric", value, {"l2": Euclidean, "cosine": Cosine})
