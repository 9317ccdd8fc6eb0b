"""What a deflected pixel is replaced by (thesis table 4.11)."""

from abc import ABC, abstractmethod
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from options import by_name

ReplacementName = Literal["random", "min", "max", "mean"]


class Replacement(ABC):
    """Says which table of pixels the new value is read from, and where."""

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def table(self, images: Tensor, reach: int) -> Tensor:
        """The pixels (N, C, H, W) that are read, of windows with this apothem."""

    def places(self, centres: Tensor, sources: Tensor) -> Tensor:
        """Where they are read (N, K): of the window's own value, at its centre."""
        return centres


class RandomPixel(Replacement):
    """A pixel that was drawn from the window: the technique itself."""

    def table(self, images: Tensor, reach: int) -> Tensor:
        return images

    def places(self, centres: Tensor, sources: Tensor) -> Tensor:
        return sources


class WindowMaximum(Replacement):
    """The largest value of each channel in the window."""

    def table(self, images: Tensor, reach: int) -> Tensor:
        rows = F.max_pool2d(images, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
        return F.max_pool2d(rows, (1, 2 * reach + 1), stride=1, padding=(0, reach))


class WindowMinimum(Replacement):
    """The smallest value of each channel in the window."""

    def table(self, images: Tensor, reach: int) -> Tensor:
        return -WindowMaximum().table(-images, reach)


class WindowMean(Replacement):
    """The mean of each channel in the window."""

    def table(self, images: Tensor, reach: int) -> Tensor:
        rows = F.avg_pool2d(images, (2 * reach + 1, 1), stride=1, padding=(reach, 0), count_include_pad=False)
        return F.avg_pool2d(rows, (1, 2 * reach + 1), stride=1, padding=(0, reach), count_include_pad=False)


def replacement_of(value: Replacement | ReplacementName) -> Replacement:
    """A replacement, or the one of this short name."""
    classes: dict[str, type[Replacement]] = {
        "random": RandomPixel,
        "min": WindowMinimum,
        "max": WindowMaximum,
        "mean": WindowMean,
    }
    return by_name("replacement", value, classes)
