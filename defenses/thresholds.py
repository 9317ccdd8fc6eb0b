"""How large a wavelet or cosine coefficient must be to count as more than noise."""

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from options import by_name

ThresholdName = Literal["bayes", "visu", "sure"]
ShrinkageName = Literal["soft", "hard"]


class Threshold(ABC):
    """A threshold for every band of coefficients."""

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def of(self, bands: Tensor, sigma: Tensor, pixels: int) -> Tensor:
        """Thresholds (..., 1).

        Args:
            bands: coefficients (..., n).
            sigma: standard deviation of the noise, (..., 1).
            pixels: how many an image has in a channel.
        """


class Bayes(Threshold):
    """BayesShrink: the noise's variance over the signal's standard deviation; a band of mere noise goes.

    Chang et al. 2000, "Adaptive Wavelet Thresholding for Image Denoising and Compression", equation 12.
    """

    def of(self, bands: Tensor, sigma: Tensor, pixels: int) -> Tensor:
        noise = sigma.square()
        signal = bands.square().mean(-1, keepdim=True) - noise
        threshold = noise / signal.clamp(min=torch.finfo(bands.dtype).eps).sqrt()
        return torch.where((signal > 0) | (noise == 0), threshold, torch.inf)


class Visu(Threshold):
    """VisuShrink: what no coefficient of mere noise exceeds, sigma times the root of 2 log of the number of pixels.

    Donoho & Johnstone 1994, "Ideal Spatial Adaptation by Wavelet Shrinkage", section 4.2.
    """

    def of(self, bands: Tensor, sigma: Tensor, pixels: int) -> Tensor:
        return sigma * math.sqrt(2 * math.log(pixels))


class Sure(Threshold):
    """SUREShrink: the band's own coefficient for which Stein's unbiased estimate of the risk is smallest.

    Donoho & Johnstone 1995, "Adapting to Unknown Smoothness via Wavelet Shrinkage", equation 11.
    """

    def of(self, bands: Tensor, sigma: Tensor, pixels: int) -> Tensor:
        count = bands.shape[-1]
        sizes = bands.abs().sort(dim=-1).values
        with torch.no_grad():
            squares, places = sizes.double().square(), torch.arange(1, count + 1, device=bands.device)
            kept = squares.cumsum(-1) + (count - places) * squares  # of min(|D|, T)**2 over the band, for T = |D|
            best = (kept - 2 * sigma.double().square() * places).argmin(-1, keepdim=True)
        return sizes.gather(-1, best)


class Shrinkage(ABC):
    """What becomes of coefficients at a threshold."""

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def shrink(self, bands: Tensor, threshold: Tensor) -> Tensor:
        """Coefficients of the same shape."""


class Soft(Shrinkage):
    """All come nearer to zero by the threshold, and no further than zero."""

    def shrink(self, bands: Tensor, threshold: Tensor) -> Tensor:
        return bands - bands.minimum(threshold).maximum(-threshold)  # several times as fast as clamp between tensors


class Hard(Shrinkage):
    """Those above the threshold stay as they are, the others are zero."""

    def shrink(self, bands: Tensor, threshold: Tensor) -> Tensor:
        return torch.where(bands.abs() > threshold, bands, 0)


def threshold_of(value: Threshold | ThresholdName) -> Threshold:
    """A rule for thresholds, or the one of this short name."""
    classes: dict[str, type[Threshold]] = {"bayes": Bayes, "visu": Visu, "sure": Sure}
    return by_name("threshold", value, classes)


def shrinkage_of(value: Shrinkage | ShrinkageName) -> Shrinkage:
    """A shrinkage, or the one of this short name."""
    classes: dict[str, type[Shrinkage]] = {"soft": Soft, "hard": Hard}
    return by_name("shrinkage", value, classes)
