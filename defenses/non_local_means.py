"""The mean of pixels whose surroundings look alike."""

from collections.abc import Sequence

import torch
from torch import Tensor

from defenses.borders import mirrored
from defenses.defense import Defense
from defenses.parts import by_parts
from options import check_above, check_whole


class NonLocalMeans(Defense):
    """Replace pixels by the mean over near pixels, weighted by how alike their patches are (backward pass: exact).

    Buades et al. 2005, "A Non-Local Algorithm for Image Denoising": a weight is the exponential of minus the mean
    squared difference of two patches, over all channels, divided by strength**2. As in OpenCV, but without its rounding
    to bytes, and without a cut-off for small weights. Feature squeezing writes the options as 11-3-2 and 13-3-4.

    Args:
        search: side in pixels of the window that is searched, odd.
        patch: side of the patches that are compared, odd.
        strength: grey levels of 0 to 255 by which patches may differ and still count much.
    """

    def __init__(self, search: int = 13, patch: int = 3, strength: float = 4.0) -> None:
        super().__init__()
        check_whole(self, search=search, patch=patch)
        check_above(self, 0, strength=strength)
        for name, value in (("search", search), ("patch", patch)):
            if value < 1 or value % 2 == 0:
                raise ValueError(f"NonLocalMeans: {name}={value} must be odd and at least 1, as it has a middle")
        self.search, self.patch, self.strength = search, patch, strength

    def restore(self, images: Tensor, run: int) -> Tensor:
        return by_parts(self._smooth, images)

    def _smooth(self, images: Tensor) -> Tensor:
        reach, border = self.search // 2, self.patch // 2
        wide = mirrored(images, reach + border, reach + border)
        height, width = wide.shape[2:]
        # In this unit, squared differences are summed to the exponent.
        unit = self.strength / 255 * self.patch * images.shape[1] ** 0.5
        # An offset in the image is one number; what wraps round stays in the border.
        channels, first = (wide.flatten(2) / unit).split(1, dim=1), border * (width + 1)
        totals, weights = [channel.clone() for channel in channels], torch.ones_like(channels[0])
        for row, column in self._half():
            offset = row * width + column
            alike = self._alike(channels, offset, width)
            here, there = (2, first, alike.shape[2]), (2, first + offset, alike.shape[2])
            for total, channel in zip(totals, channels):  # a pair counts for both of its pixels
                total.narrow(*here).addcmul_(alike, channel.narrow(*there))
                total.narrow(*there).addcmul_(alike, channel.narrow(*here))
            weights.narrow(*here).add_(alike)
            weights.narrow(*there).add_(alike)
        inside = slice(reach + border, -(reach + border) or None)
        mean: Tensor = torch.cat([total.div_(weights) for total in totals], dim=1).unflatten(2, (height, width))
        return mean[..., inside, inside].mul(unit).clamp(0, 1)

    def _half(self) -> list[tuple[int, int]]:
        """Offsets of the search window, one of each opposite pair."""
        steps = range(-(self.search // 2), self.search // 2 + 1)
        return [(row, column) for row in steps for column in steps if (row, column) > (0, 0)]

    def _alike(self, channels: Sequence[Tensor], offset: int, width: int) -> Tensor:
        """The weight of each pair of pixels at an offset, (N, 1, pairs), from the first whose patch is inside."""
        apart = _step(channels[0], offset).square_()
        for channel in channels[1:]:
            step = _step(channel, offset)
            apart.addcmul_(step, step)
        # Smaller weights than exp(-80) are no normal numbers, which are slow; a pixel itself counts 1.
        return _box(_box(apart, self.patch, width), self.patch, 1).clamp_(max=80).neg_().exp_()


def _step(values: Tensor, offset: int) -> Tensor:
    """How much values (..., n) change over so many places."""
    size = values.shape[-1] - offset
    return values.narrow(-1, offset, size) - values.narrow(-1, 0, size)


def _box(values: Tensor, length: int, step: int) -> Tensor:
    """Sums of so many values (..., n), each so many places after the other."""
    size = values.shape[-1] - (length - 1) * step
    parts = [values.narrow(-1, start, size) for start in range(0, length * step, step)]
    if length == 1:
        return values
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total.add_(part)
    return total
