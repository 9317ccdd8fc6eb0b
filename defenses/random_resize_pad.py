"""Shrink images at random and put them somewhere."""

from torch import Tensor

from defenses.defense import Defense
from defenses.resampling import places, read
from options import check_between


class RandomResizePad(Defense):
    """Shrink images to a random size and put them at a random place of a black one (backward pass: exact, bilinear).

    Xie et al. 2018, "Mitigating Adversarial Effects Through Randomization", arXiv 1711.01991: from 299 pixels to 299 to
    330 inside 331. Here the canvas is as large as the image, so that the network sees the same proportions at the
    size that it was made for. The thesis has rows for both, for ``pad=False`` and for ``resize=False``.

    Args:
        smallest: size that images may shrink to, as a share of their own.
        resize: draw the size; without, all shrink to the smallest.
        pad: fill up with black; without, images are enlarged to their size again.
    """

    random = True

    def __init__(self, smallest: float = 299 / 331, resize: bool = True, pad: bool = True) -> None:
        super().__init__()
        check_between(self, 0.1, 1, smallest=smallest)
        if not resize and not pad:
            raise ValueError("RandomResizePad: resize=False and pad=False leave nothing to chance: set one to true")
        self.smallest, self.resize, self.pad = smallest, resize, pad

    def restore(self, images: Tensor, run: int) -> Tensor:
        return self._moved(images, run).clamp(0, 1)  # an interpolated white may round to more

    def _moved(self, images: Tensor, run: int) -> Tensor:
        draws = self.streams(images, run).uniform(3)
        share = self.smallest + (1 - self.smallest) * draws[:, 0] if self.resize else draws[:, 0] * 0 + self.smallest
        height, width = images.shape[2:]
        rows, columns = (share * height).round().clamp(min=1), (share * width).round().clamp(min=1)
        if not self.pad:
            small = _placed(images, rows * 0, rows, columns * 0, columns)
            return read(small, _stretched(height, rows, images), _stretched(width, columns, images))
        top = ((height - rows + 1) * draws[:, 1]).floor()
        left = ((width - columns + 1) * draws[:, 2]).floor()
        return _placed(images, top, rows, left, columns)


def _placed(images: Tensor, top: Tensor, height: Tensor, left: Tensor, width: Tensor) -> Tensor:
    """Images, each shrunk into a rectangle of a black canvas of the same size."""
    rows = places(images.shape[2], top, height, images.dtype)
    columns = places(images.shape[3], left, width, images.dtype)
    inside = (rows.abs() <= 1).unsqueeze(2) & (columns.abs() <= 1).unsqueeze(1)
    return read(images, rows, columns) * inside.unsqueeze(1)


def _stretched(size: int, extent: Tensor, like: Tensor) -> Tensor:
    """Where to read an axis so that its first so many pixels cover it, and none beyond are touched (N, size)."""
    pixels = places(size, extent * 0, extent * 0 + size, like.dtype)  # of the whole axis
    share = (extent / size).unsqueeze(1).to(like.dtype)
    within = (pixels + 1) * share - 1
    return within.clamp(max=(2 * share - 1 - 1 / size))
