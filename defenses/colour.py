"""Which channels a defence works in."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from options import by_name

ColourName = Literal["ycbcr", "rgb"]
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
BLUE, RED = 2 * (1 - LUMA[2]), 2 * (1 - LUMA[0])  # range of B - Y and R - Y


class Colour(ABC):
    """Takes images to other channels and back; images with one channel stay as they are."""

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def apart(self, images: Tensor) -> Tensor:
        """The channels (N, C, H, W) of RGB images."""

    @abstractmethod
    def together(self, channels: Tensor) -> Tensor:
        """RGB images of channels, not yet clipped."""

    @abstractmethod
    def noise(self, channels: int) -> list[float]:
        """The standard deviation in each channel of noise whose own is 1 in red, green and blue."""


class Rgb(Colour):
    """Red, green and blue each for itself."""

    def apart(self, images: Tensor) -> Tensor:
        return images

    def together(self, channels: Tensor) -> Tensor:
        return channels

    def noise(self, channels: int) -> list[float]:
        return [1.0] * channels


class YCbCr(Colour):
    """Luma and two chroma channels, full-range BT.601 as in JPEG; grey is at 0 of the chroma, all ranges are 1 wide."""

    def apart(self, images: Tensor) -> Tensor:
        if images.shape[1] != 3:
            return images
        red, green, blue = images.unbind(1)
        luma = red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]
        return torch.stack([luma, (blue - luma) / BLUE, (red - luma) / RED], dim=1)

    def together(self, channels: Tensor) -> Tensor:
        if channels.shape[1] != 3:
            return channels
        luma, to_blue, to_red = channels.unbind(1)
        red, blue = luma + to_red * RED, luma + to_blue * BLUE
        green = luma - to_red * (RED * LUMA[0] / LUMA[1]) - to_blue * (BLUE * LUMA[2] / LUMA[1])
        return torch.stack([red, green, blue], dim=1)

    def noise(self, channels: int) -> list[float]:
        if channels != 3:
            return [1.0] * channels
        squares = [weight**2 for weight in LUMA]
        blue = sum(squares[:2]) + (1 - LUMA[2]) ** 2
        red = sum(squares[1:]) + (1 - LUMA[0]) ** 2
        return [sum(squares) ** 0.5, blue**0.5 / BLUE, red**0.5 / RED]


def colour_of(value: Colour | ColourName) -> Colour:
    """A colour space, or the one of this short name."""
    classes: dict[str, type[Colour]] = {"ycbcr": YCbCr, "rgb": Rgb}
    return by_name("color", value, classes)
