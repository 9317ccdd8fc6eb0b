"""Between colour spaces, as the benchmark's libraries compute them."""

import torch
from torch import Tensor

from corruptions.division import divided

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def luma(pixels: Tensor) -> Tensor:
    """The grey value (N, 1, H, W) of RGB pixels (N, 3, H, W)."""
    red, green, blue = pixels.split(1, dim=1)
    grey: Tensor = red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]
    return grey


def from_grey(levels: Tensor) -> Tensor:
    """Grey levels (N, 1, H, W) as three equal channels."""
    return levels.expand(-1, 3, -1, -1).contiguous()


def to_grey(levels: Tensor) -> Tensor:
    """The grey levels (N, 1, H, W) of uint8 images, rounded."""
    return luma(levels.double()).round().to(torch.uint8)


def rgb_to_hsv(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value, (N, H, W) each, of pixels (N, 3, H, W), all in [0, 1] (Smith 1978)."""
    red, green, blue = pixels.unbind(1)
    value, low = pixels.amax(1), pixels.amin(1)
    delta = value - low
    safe = torch.where(delta > 0, delta, 1)
    # Where two channels are largest, the later one decides.
    sixth = torch.where(red == value, (green - blue) / safe, 0)
    sixth = torch.where(green == value, 2 + (blue - red) / safe, sixth)
    sixth = torch.where(blue == value, 4 + (red - green) / safe, sixth)
    hue = torch.where(delta > 0, divided(sixth, 6).remainder(1), 0)
    return hue, torch.where(delta > 0, delta / torch.where(value > 0, value, 1), 0), value


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Pixels (N, 3, H, W) of hue, saturation and value, (N, H, W) each, all in [0, 1] (Smith 1978)."""
    sixth = (hue * 6).floor()
    fraction = hue * 6 - sixth
    low = value * (1 - saturation)
    falling = value * (1 - fraction * saturation)
    rising = value * (1 - (1 - fraction) * saturation)
    shades = torch.stack([value, rising, low, falling])
    # Which shade red, green and blue take in each sixth of the colour circle.
    table = torch.tensor([[0, 1, 2], [3, 0, 2], [2, 0, 1], [2, 3, 0], [1, 2, 0], [0, 2, 3]], device=hue.device)
    chosen = table[sixth.long() % 6].movedim(-1, 0)
    return shades.gather(0, chosen).movedim(0, 1)
