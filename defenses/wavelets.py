"""The discrete wavelet transform of a batch of images.

Filters come from PyWavelets; borders are mirrored with the border pixel repeated, as its mode ``symmetric`` does. Every
tap of a filter is one multiply-add of whole images, which is faster for few channels than a convolution, and gives an
image the same bits whatever the batch.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import floor, log2

import pywt
import torch
from torch import Tensor


@dataclass(frozen=True)
class Filters:
    """The four filters of a wavelet, of equal even length."""

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    low_back: tuple[float, ...]
    high_back: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.low)

    def most_levels(self, size: int) -> int:
        """How often an axis of this size can be halved before the filter is longer than what is left."""
        return max(0, floor(log2(size / max(1, len(self) - 1))))


@lru_cache(maxsize=32)
def filters_of(name: str) -> Filters:
    """The filters of an orthogonal or biorthogonal wavelet."""
    if name not in pywt.wavelist(kind="discrete"):
        raise ValueError(
            f"wavelet={name!r} is unknown: give one of PyWavelets' discrete ones, such as db1, sym4, coif2"
        )
    return Filters(name, *(tuple(taps) for taps in pywt.Wavelet(name).filter_bank))


def decompose(images: Tensor, filters: Filters, levels: int) -> tuple[Tensor, list[Tensor]]:
    """The coarsest approximation (N, C, h, w) and the details (N, C, 3, h, w) of each level, the finest first.

    The three orientations are details along the height, along the width, and along both.
    """
    details = []
    for _ in range(levels):
        low, high = _apart(images, filters, -2)
        images, across = _apart(low, filters, -1)
        down, both = _apart(high, filters, -1)
        details.append(torch.stack([down, across, both], dim=2))
    return images, details


def compose(coarse: Tensor, details: list[Tensor], filters: Filters, size: tuple[int, int]) -> Tensor:
    """The images (N, C, H, W) of this size again."""
    for fine in reversed(details):
        height, width = fine.shape[3:]
        down, across, both = fine.unbind(2)
        low = _together(coarse[..., :height, :width], across, filters, -1)  # an odd size came back one too large
        coarse = _together(low, _together(down, both, filters, -1), filters, -2)
    return coarse[..., : size[0], : size[1]]


def _apart(images: Tensor, filters: Filters, axis: int) -> tuple[Tensor, Tensor]:
    """Every other value of images after the low and the high filter along an axis."""
    size, length = images.shape[axis], len(filters)
    count = (size + length - 1) // 2
    axis = axis % images.dim()
    images = _mirrored(images, length - 2, 2 * count - size, axis)
    phases = [phase.contiguous() for phase in images.unflatten(axis, (-1, 2)).unbind(axis + 1)]
    last = [(phases[tap % 2], tap // 2) for tap in reversed(range(length))]
    shifted = [phase.narrow(axis, start, count) for phase, start in last]
    return _weighted(shifted, filters.low), _weighted(shifted, filters.high)


def _together(low: Tensor, high: Tensor, filters: Filters, axis: int) -> Tensor:
    """The values along an axis whose halves these are."""
    reach = len(filters) // 2
    count = low.shape[axis] - reach + 1
    shifted = [part.narrow(axis, reach - 1 - tap, count) for part in (low, high) for tap in range(reach)]
    even = _weighted(shifted, filters.low_back[::2] + filters.high_back[::2])
    odd = _weighted(shifted, filters.low_back[1::2] + filters.high_back[1::2])
    if axis == -1:  # several times as fast as stacking them behind each other
        return torch.view_as_real(torch.complex(even, odd)).flatten(-2)
    return torch.stack([even, odd], dim=-2).flatten(-3, -2)


def _weighted(parts: list[Tensor], weights: tuple[float, ...]) -> Tensor:
    """The weighted sum; zeros cost nothing."""
    useful = [(part, weight) for part, weight in zip(parts, weights) if weight]
    total = useful[0][0] * useful[0][1]
    for part, weight in useful[1:]:
        total.add_(part, alpha=weight)
    return total


def _mirrored(images: Tensor, before: int, after: int, axis: int) -> Tensor:
    """Images with so many more places along an axis: b a | a b c d | d c."""
    if not before and not after:
        return images
    size = images.shape[axis]
    places = torch.arange(-before, size + after, device=images.device).remainder(2 * size)
    return images.index_select(axis, places.minimum(2 * size - 1 - places))
