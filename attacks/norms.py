"""How a perturbation is measured, and what follows from it: directions, budgets, random starts."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from attacks.draws import Draws
from attacks.rows import column
from options import by_name

NormName = Literal["linf", "l2"]


class Norm(ABC):
    """A size of perturbations (N, ...), in pixels scaled to [0, 1].

    Attributes:
        largest: what no perturbation between two images exceeds, whatever their size.
    """

    largest = torch.inf

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def size(self, delta: Tensor) -> Tensor:
        """The norm of each perturbation, (N,)."""

    @abstractmethod
    def dual(self, gradient: Tensor) -> Tensor:
        """By how much a value can rise per unit of this norm, (N,): the dual norm of its gradient."""

    @abstractmethod
    def steepest(self, gradient: Tensor) -> Tensor:
        """The step of norm 1 along which a value rises most; zero where the gradient is."""

    @abstractmethod
    def project(self, delta: Tensor, eps: float) -> Tensor:
        """The nearest perturbation whose norm is at most eps."""

    @abstractmethod
    def sample(self, draws: Draws, like: Tensor, stream: int) -> Tensor:
        """Perturbations drawn uniformly from the unit ball, shaped like images (N, ...)."""


class Linf(Norm):
    """The largest change of any component."""

    largest = 1.0

    def size(self, delta: Tensor) -> Tensor:
        return delta.flatten(1).abs().amax(1)

    def dual(self, gradient: Tensor) -> Tensor:
        return gradient.flatten(1).abs().sum(1)

    def steepest(self, gradient: Tensor) -> Tensor:
        return gradient.sign()

    def project(self, delta: Tensor, eps: float) -> Tensor:
        return delta.clamp(-eps, eps)

    def sample(self, draws: Draws, like: Tensor, stream: int) -> Tensor:
        return (2 * draws.uniform(like[0].numel(), stream, like.dtype) - 1).view(like.shape)


class L2(Norm):
    """The Euclidean length of the change."""

    def size(self, delta: Tensor) -> Tensor:
        length: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
        return length

    def dual(self, gradient: Tensor) -> Tensor:
        return self.size(gradient)

    def steepest(self, gradient: Tensor) -> Tensor:
        # First by the largest component: the squares of tiny gradients, which sure networks have, would be zero.
        largest = gradient.flatten(1).abs().amax(1)
        scaled = gradient / column(torch.where(largest > 0, largest, 1), gradient)
        length = self.size(scaled)
        return scaled / column(torch.where(length > 0, length, 1), gradient)

    def project(self, delta: Tensor, eps: float) -> Tensor:
        size = self.size(delta)
        return delta * column(torch.where(size > eps, eps / size, 1), delta)

    def sample(self, draws: Draws, like: Tensor, stream: int) -> Tensor:
        components = like[0].numel()
        direction = self.steepest(draws.normal(components, 2 * stream, like.dtype))
        radius = draws.uniform(1, 2 * stream + 1, like.dtype) ** (1 / components)
        return (direction * radius).view(like.shape)


def norm_of(value: Norm | NormName) -> Norm:
    """A norm, or the one of this short name."""
    return by_name("norm", value, {"linf": Linf, "l2": L2})
