"""Weather: snow, frost, fog, bright light."""

from functools import cached_property

import torch
from torch import Tensor

from corruptions.borders import doubled
from corruptions.colour import hsv_to_rgb, luma, rgb_to_hsv
from corruptions.division import divided
from corruptions.draws import Draws
from corruptions.motion import motion_blurred
from corruptions.pictures import IceTexture, Pictures
from corruptions.plasma import plasma
from corruptions.severities import Ice, Mist, Severities, SnowFall
from corruptions.synthetic import SyntheticCorruption
from corruptions.zoom import middle, zoomed


class Snow(SyntheticCorruption[SnowFall]):
    """Whiten the image and let flakes fall on it, blown along a line, in two directions."""

    name = "snow"
    colour = True

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        flakes = divided(self._flakes(levels, draws).double(), 255)
        pixels = divided(levels.float(), 255)
        white = pixels.maximum(luma(pixels) * 1.5 + 0.5)
        weight = self.level.weight
        return ((weight * pixels + (1 - weight) * white) + flakes + flakes.rot90(2, (2, 3))) * 255

    def _flakes(self, levels: Tensor, draws: Draws) -> Tensor:
        height, width = levels.shape[2:]
        rows, columns = middle(height, self.level.zoom), middle(width, self.level.zoom)
        noise = draws.normal(rows.stop - rows.start, columns.stop - columns.start, stream=0)
        noise = self.level.mean + self.level.deviation * noise.permute(1, 2, 0)
        layer = zoomed(noise, height, width, self.level.zoom).permute(2, 0, 1).unsqueeze(1)
        layer = torch.where(layer < self.level.threshold, 0, layer).clamp(0, 1)
        flakes = (layer * 255).to(torch.uint8)
        return motion_blurred(flakes, self.level.radius, self.level.sigma, draws.between(-135, -45, stream=1)).round()


class Frost(SyntheticCorruption[Ice]):
    """Look through a frosted window: a part of a picture of ice is added.

    The benchmark picks from the first five of its six pictures, and so does this. Pictures smaller than the images are
    continued by their mirror images.

    Args:
        severity: 1 (mild) to 5 (strong).
        scale: the benchmark whose parameters are meant; CIFAR's by default.
        pictures: of frost; computed ones by default.
    """

    name = "frost"
    colour = True

    def __init__(self, severity: int, scale: Severities | None = None, pictures: Pictures | None = None) -> None:
        super().__init__(severity, scale)
        self.pictures = pictures or IceTexture()

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        return self.level.image * levels.double() + self.level.frost * self._cut_out(levels, draws).double()

    def _cut_out(self, levels: Tensor, draws: Draws) -> Tensor:
        pixels, sizes, starts = (part.to(levels.device) for part in self._window)
        which = draws.integers(0, len(sizes), stream=0)
        size = torch.tensor(levels.shape[2:], device=levels.device)
        room = (sizes[which] - size).clamp(min=1)
        corner = (draws.uniform(2, stream=1) * room).long()
        (height, width), (top, left) = sizes[which].unsqueeze(2).unbind(1), corner.unsqueeze(2).unbind(1)
        rows = doubled(top + torch.arange(int(size[0]), device=levels.device), height)
        columns = doubled(left + torch.arange(int(size[1]), device=levels.device), width)
        places = starts[which].view(-1, 1, 1) + (rows * width).unsqueeze(2) + columns.unsqueeze(1)
        return pixels[places].permute(0, 3, 1, 2)

    @cached_property
    def _window(self) -> tuple[Tensor, Tensor, Tensor]:
        """All pictures' pixels (P, 3), their sizes (K, 2), and where each starts (K,)."""
        step = self.level.stride
        if any(min(picture.shape[:2]) <= step // 2 for picture in self.pictures.load()[:5]):
            raise ValueError(
                f"pictures={self.pictures} has one of less than {step // 2 + 1} pixels a side: take larger ones"
            )
        thinned = [picture[step // 2 :: step, step // 2 :: step] for picture in self.pictures.load()[:5]]
        sizes = torch.tensor([picture.shape[:2] for picture in thinned])
        starts = sizes.prod(1).cumsum(0) - sizes.prod(1)
        return torch.cat([picture.reshape(-1, 3) for picture in thinned]), sizes, starts


class Fog(SyntheticCorruption[Mist]):
    """Add a cloud, and darken so that the brightest pixel keeps its value."""

    name = "fog"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        height, width = levels.shape[2:]
        size = max(2, 1 << (max(height, width) - 1).bit_length())
        cloud = plasma(size, self.level.decay, draws)[:, None, :height, :width]
        pixels = divided(levels.double(), 255)
        brightest = pixels.amax((1, 2, 3), keepdim=True)
        return (pixels + self.level.weight * cloud) * brightest / (brightest + self.level.weight) * 255


class Brightness(SyntheticCorruption[float]):
    """Raise the value of HSV, as brighter light does; the level is what is added to it in [0, 1]."""

    name = "brightness"
    colour = True

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        hue, saturation, value = rgb_to_hsv(divided(levels.double(), 255))
        return hsv_to_rgb(hue, saturation, (value + self.level).clamp(0, 1)) * 255
