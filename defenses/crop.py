"""Cut something off and enlarge the rest."""

from torch import Tensor

from defenses.defense import Defense
from defenses.resampling import places, read
from options import check_between


class Crop(Defense):
    """Cut a random part out of images and enlarge it to their size again (backward pass: exact, bilinear).

    Guo et al. 2018, "Countering Adversarial Images Using Input Transformations", arXiv 1711.00117, section 3.1.

    Args:
        share: of height and width that is kept.
    """

    random = True

    def __init__(self, share: float = 0.875) -> None:
        super().__init__()
        check_between(self, 0.1, 1, share=share)
        self.share = share

    def restore(self, images: Tensor, run: int) -> Tensor:
        draws = self.streams(images, run).uniform(2)
        height, width = images.shape[2:]
        rows, columns = (max(1, round(self.share * size)) for size in (height, width))
        top, left = ((height - rows + 1) * draws[:, 0]).floor(), ((width - columns + 1) * draws[:, 1]).floor()
        down = _within(height, rows, top, images)
        return read(images, down, _within(width, columns, left, images)).clamp(0, 1)


def _within(size: int, kept: int, start: Tensor, like: Tensor) -> Tensor:
    """Where to read an axis so that so many pixels from a start cover it (N, size)."""
    scale = size / kept  # the image covers an interval that begins before the axis and ends behind it
    return places(size, -start * scale, start * 0 + size * scale, like.dtype)
