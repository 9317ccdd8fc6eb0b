"""How a universal perturbation is kept within its budget."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from attacks.norms import Norm


class Projection(ABC):
    """Brings a perturbation (C, H, W) back after an update."""

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def project(self, perturbation: Tensor, norm: Norm, radius: float) -> Tensor:
        """The perturbation that is used instead; the radius is in pixels scaled to [0, 1]."""


class Nearest(Projection):
    """The nearest point of the ball, as in the published code: components cut off in L∞, a shorter vector in L2."""

    def project(self, perturbation: Tensor, norm: Norm, radius: float) -> Tensor:
        return norm.project(perturbation.unsqueeze(0), radius).squeeze(0)


class PrintedFormula(Projection):
    """The formula printed by Kühne and Tödtli, v ← √ξ · v / ‖v‖, which lengthens small perturbations as well.

    The square root depends on the unit of ξ, so this is the one place where the paper's range of pixels counts.

    Args:
        scale: largest pixel of the range in which ξ is meant; 255 in the paper.
    """

    def __init__(self, scale: float = 255) -> None:
        if not scale > 0:
            raise ValueError(f"PrintedFormula: scale={scale} must be above 0")
        self.scale = scale

    def project(self, perturbation: Tensor, norm: Norm, radius: float) -> Tensor:
        size = norm.size(perturbation.unsqueeze(0))
        return perturbation * torch.where(size > 0, self.length(radius) / size, 1)

    def length(self, radius: float) -> float:
        """The norm of every result, in pixels scaled to [0, 1]."""
        return float((radius * self.scale) ** 0.5 / self.scale)
