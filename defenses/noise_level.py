"""In which units the standard deviation of the noise is given."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from defenses.colour import Colour
from options import by_name

UnitsName = Literal["channel", "rgb", "stretched"]


class Units(ABC):
    """Says what a sigma means for the channels that are denoised."""

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def sigma(self, sigma: float, channels: Tensor, colour: Colour) -> Tensor:
        """The standard deviation of the noise in each channel, (N or 1, C or 1, 1).

        Args:
            sigma: as given.
            channels: (N, C, H, W), whose ranges are 1 wide.
            colour: space that they are in.
        """


class ChannelUnits(Units):
    """The same in every channel as it is denoised, whose range is 1 wide."""

    def sigma(self, sigma: float, channels: Tensor, colour: Colour) -> Tensor:
        return channels.new_full((1, 1, 1), sigma)


class RgbUnits(Units):
    """The noise of red, green and blue, carried into the channels; scikit-image's ``rescale_sigma``."""

    def sigma(self, sigma: float, channels: Tensor, colour: Colour) -> Tensor:
        return sigma * channels.new_tensor(colour.noise(channels.shape[1])).view(1, -1, 1)


class StretchedUnits(Units):
    """A share of each channel's own range from minimum to maximum, as the authors' program of 2018 probably took it."""

    def sigma(self, sigma: float, channels: Tensor, colour: Colour) -> Tensor:
        return sigma * (channels.amax((2, 3)) - channels.amin((2, 3))).unsqueeze(2)


def units_of(value: Units | UnitsName) -> Units:
    """Units, or those of this short name."""
    classes: dict[str, type[Units]] = {"channel": ChannelUnits, "rgb": RgbUnits, "stretched": StretchedUnits}
    return by_name("units", value, classes)


def estimated(finest: Tensor) -> Tensor:
    """The noise (N, C, 1) from the finest details along both axes (N, C, n): median size over that of a unit normal.

    Donoho & Johnstone 1994, section 4.2. Coefficients that are exactly zero count too.
    """
    sizes = finest.abs().sort(dim=-1).values
    middle = sizes[..., [(sizes.shape[-1] - 1) // 2, sizes.shape[-1] // 2]].mean(-1, keepdim=True)
    level: Tensor = middle / torch.special.ndtri(torch.tensor(0.75, dtype=torch.float64)).item()
    return level
