"""Where in its window a pixel's replacement is drawn from, along each axis."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from options import by_name, check_above

SamplingName = Literal["uniform", "gaussian"]


class Sampling(ABC):
    """Draws places from intervals of places."""

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def draw(self, centres: Tensor, low: Tensor, high: Tensor, reach: int, uniform: Tensor) -> Tensor:
        """Integers from low to high, all of one shape.

        Args:
            centres: where the pixel itself is.
            low: the first place of the window inside the image.
            high: the last one.
            reach: apothem of the window, in pixels.
            uniform: random numbers in (0, 1), one for each.
        """


class UniformSampling(Sampling):
    """Every pixel of the window is equally likely."""

    def draw(self, centres: Tensor, low: Tensor, high: Tensor, reach: int, uniform: Tensor) -> Tensor:
        return (uniform * (high - low + 1)).long().add_(low)


class GaussianSampling(Sampling):
    """Near pixels are likelier: a Gaussian round the pixel, cut off at the window (thesis table 4.11).

    Args:
        width: standard deviation in units of the window's apothem; the thesis does not state its own.
    """

    def __init__(self, width: float = 0.5) -> None:
        check_above(self, 0, width=width)
        self.width = width

    def __repr__(self) -> str:
        return f"GaussianSampling(width={self.width})"

    def draw(self, centres: Tensor, low: Tensor, high: Tensor, reach: int, uniform: Tensor) -> Tensor:
        sigma = max(self.width * reach, 1e-6)
        first = torch.special.ndtr((low - centres - 0.5) / sigma)
        last = torch.special.ndtr((high - centres + 0.5) / sigma)
        offsets = torch.special.ndtri(first + uniform * (last - first)) * sigma
        places: Tensor = (centres + offsets.round().long()).clamp(low, high)
        return places


def sampling_of(value: Sampling | SamplingName) -> Sampling:
    """A sampling, or the one of this short name."""
    return by_name("sampling", value, {"uniform": UniformSampling, "gaussian": GaussianSampling})
