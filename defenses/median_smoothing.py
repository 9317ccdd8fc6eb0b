"""The median of a small window."""

import torch
from torch import Tensor

from defenses import opencv
from defenses.borders import doubled, shifted
from defenses.defense import Defense
from defenses.parts import by_parts
from options import check_at_least, check_whole


class MedianSmoothing(Defense):
    """Replace each channel of a pixel by the median of a square window round it (backward pass: exact).

    Xu et al. 2018, "Feature Squeezing", arXiv 1704.01155, section III.B. Borders are mirrored; an even window reaches
    one pixel further up and left, and of its two middle values the larger one counts, as in SciPy.

    Args:
        size: of the window in pixels.
    """

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        check_whole(self, size=size)
        check_at_least(self, 1, size=size)
        self.size = size

    def restore(self, images: Tensor, run: int) -> Tensor:
        if self.size == 1:
            return images
        if self.size == 3 and opencv.serves(images):  # the same bits, 10 times as fast
            return opencv.median_of_nine(images)
        return by_parts(self._smooth, images)

    def _smooth(self, images: Tensor) -> Tensor:
        before = self.size // 2
        wide, size = doubled(images, before, self.size - 1 - before), (images.shape[2], images.shape[3])
        if self.size == 2:
            return _of_four(wide, size)
        if self.size == 3:
            return _of_nine(wide, size)
        steps = range(self.size)
        window = torch.stack([shifted(wide, row, column, size) for row in steps for column in steps])
        return window.sort(0).values[self.size**2 // 2]


def _of_four(wide: Tensor, size: tuple[int, int]) -> Tensor:
    """The third smallest of 2 x 2: the smaller maximum of the columns, or a minimum that is above it."""
    above, below = wide[..., :-1, :], wide[..., 1:, :]
    low, high = above.minimum(below), above.maximum(below)
    return high[..., :-1].minimum(high[..., 1:]).maximum(low[..., :-1].maximum(low[..., 1:]))


def _of_nine(wide: Tensor, size: tuple[int, int]) -> Tensor:
    """The fifth smallest of 3 x 3, from columns that are sorted once for three windows.

    It is the median of the largest minimum, the median median and the smallest maximum of the columns.
    """
    top, centre, bottom = (wide[..., row : row + size[0], :] for row in range(3))
    low, high = top.minimum(centre), top.maximum(centre)
    middle = low.maximum(high.minimum(bottom))
    low, high = low.minimum(bottom), high.maximum(bottom)
    width = size[1]
    left, mid, right = (slice(column, column + width) for column in range(3))
    return _of_three(
        low[..., left].maximum(low[..., mid]).maximum(low[..., right]),
        _of_three(middle[..., left], middle[..., mid], middle[..., right]),
        high[..., left].minimum(high[..., mid]).minimum(high[..., right]),
    )


def _of_three(first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    return first.minimum(second).maximum(first.maximum(second).minimum(third))
