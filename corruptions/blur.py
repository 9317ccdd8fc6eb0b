"""Blur: of lenses, of glass, of movements."""

import torch
from torch import Tensor

from corruptions.borders import clamped, mirrored
from corruptions.division import divided
from corruptions.draws import Draws
from corruptions.filters import correlate, disk, from_planes, gaussian_filter, to_planes
from corruptions.glass import shuffled_from
from corruptions.motion import motion_blurred
from corruptions.severities import Disk, Glass, Motion, Zooms
from corruptions.synthetic import SyntheticCorruption
from corruptions.zoom import middle, zoomed


class GaussianBlur(SyntheticCorruption[float]):
    """Blur by a Gaussian; the level is its sigma in pixels (an extra)."""

    name = "gaussian_blur"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        return blurred(levels, self.level)


class DefocusBlur(SyntheticCorruption[Disk]):
    """Blur by a disk, as a lens out of focus does."""

    name = "defocus_blur"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        planes = correlate(divided(to_planes(levels).double(), 255), disk(*self.level), mirrored)
        return from_planes(planes, levels.shape[1]) * 255


class GlassBlur(SyntheticCorruption[Glass]):
    """Blur, move pixels about and blur again, as frosted glass does.

    Moves go up and to the left by up to ``reach`` pixels, the other way by one less: the benchmark's own asymmetry.
    """

    name = "glass_blur"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        sigma, reach, passes = self.level
        shape = levels.shape
        softened = blurred(levels, sigma).to(torch.uint8).flatten(2)
        for each in range(passes):
            down, right = draws.integers(-reach, reach, 2, *shape[2:], stream=each).unbind(1)
            source = shuffled_from(down, right, reach).unsqueeze(1)
            softened = softened.gather(2, source.expand(-1, shape[1], -1))
        return blurred(softened.view(shape), sigma)


class MotionBlur(SyntheticCorruption[Motion]):
    """Blur along a line between -45 and 45 degrees, as a camera that moves does; rounded, not truncated."""

    name = "motion_blur"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        return motion_blurred(levels, *self.level, draws.between(-45, 45)).round()


class ZoomBlur(SyntheticCorruption[Zooms]):
    """Average the image with magnified ones, as a camera that approaches does."""

    name = "zoom_blur"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        pixels = divided(to_planes(levels).float(), 255)
        height, width = pixels.shape[:2]
        precise, total = pixels.double(), torch.zeros_like(pixels)
        for factor in self.level.factors():
            part = precise[middle(height, factor), middle(width, factor)]
            total += zoomed(part, height, width, factor).float()
        return from_planes(divided(pixels + total, self.level.number + 1), levels.shape[1]) * 255


def blurred(levels: Tensor, sigma: float) -> Tensor:
    """Bytes (N, C, H, W) after a Gaussian blur, as float64 grey levels."""
    planes = gaussian_filter(divided(to_planes(levels).double(), 255), sigma, clamped)
    return from_planes(planes, levels.shape[1]) * 255
