"""What lies beyond an image's border."""

import torch
import torch.nn.functional as F
from torch import Tensor


def mirrored(images: Tensor, before: int, after: int) -> Tensor:
    """So many more pixels on each side, mirrored about the border pixel, which is not repeated: c b | a b c d | c b."""
    if max(before, after) < min(images.shape[2:]):
        return F.pad(images, (before, after, before, after), mode="reflect")
    for axis in (2, 3):
        size = images.shape[axis]
        places = torch.arange(-before, size + after, device=images.device).remainder(max(1, 2 * size - 2))
        images = images.index_select(axis, places.minimum(2 * size - 2 - places))
    return images


def doubled(images: Tensor, before: int, after: int) -> Tensor:
    """Mirrored about the border itself, so that the border pixel comes twice: b a | a b c d | d c."""
    if max(before, after) == 1:
        return F.pad(images, (before, after, before, after), mode="replicate")
    for axis in (2, 3):
        size = images.shape[axis]
        places = torch.arange(-before, size + after, device=images.device).remainder(2 * size)
        images = images.index_select(axis, places.minimum(2 * size - 1 - places))
    return images


def shifted(wide: Tensor, row: int, column: int, size: tuple[int, int]) -> Tensor:
    """The part of this size of padded images (..., H', W') that begins there."""
    return wide[..., row : row + size[0], column : column + size[1]]
