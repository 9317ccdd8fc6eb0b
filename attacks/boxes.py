"""What a minimum-norm attack does about the range of pixels."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Box(ABC):
    """Keeps points (N, ...) in [0, 1], or does not.

    Attributes:
        bounded: whether images must be there in the first place.
    """

    bounded = True

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def place(self, points: Tensor) -> Tensor:
        """Where points end up."""

    @abstractmethod
    def admissible(self, points: Tensor, gradient: Tensor) -> Tensor:
        """The part of a gradient along which points can move."""


class ClipBox(Box):
    """Cuts off what leaves the range."""

    def place(self, points: Tensor) -> Tensor:
        return points.clamp(0, 1)

    def admissible(self, points: Tensor, gradient: Tensor) -> Tensor:
        return gradient


class MaskBox(ClipBox):
    """Cuts off what leaves the range, and leaves out of a step the pixels for which that would happen at once.

    On images with black backgrounds about half the gradients for a few per cent more distance.
    """

    def admissible(self, points: Tensor, gradient: Tensor) -> Tensor:
        stuck = ((points <= 0) & (gradient < 0)) | ((points >= 1) & (gradient > 0))
        return torch.where(stuck, 0, gradient)


class NoBox(Box):
    """Lets points leave the range, as the published code of DeepFool and of universal perturbations does."""

    bounded = False

    def place(self, points: Tensor) -> Tensor:
        return points

    def admissible(self, points: Tensor, gradient: Tensor) -> Tensor:
        return gradient
