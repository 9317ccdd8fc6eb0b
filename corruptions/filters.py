"""Filters over planes (H, W, M), whose last axis holds all channels of all images.

So each tap is one operation over long rows, and the sums have the same order whatever the batch: truncation to bytes
would turn a difference in the last bit into a whole grey level.
"""

import math

import numpy as np
import torch
from torch import Tensor

from corruptions.borders import Border, mirrored


def to_planes(images: Tensor) -> Tensor:
    """(N, C, H, W) as (H, W, N * C)."""
    return images.permute(2, 3, 0, 1).flatten(2).contiguous()


def from_planes(planes: Tensor, channels: int) -> Tensor:
    """(H, W, N * C) as (N, C, H, W)."""
    images: Tensor = planes.unflatten(2, (-1, channels)).permute(2, 3, 0, 1)
    return images


def extended(planes: Tensor, reach: int, border: Border) -> Tensor:
    """Planes with so many more rows above and below."""
    rows = torch.arange(-reach, len(planes) + reach, device=planes.device)
    return planes.index_select(0, border(rows, len(planes)))


def correlate(planes: Tensor, kernel: Tensor, border: Border) -> Tensor:
    """Each pixel becomes the sum of its neighbours times a kernel (2a + 1, 2b + 1); zeros in it cost nothing."""
    height, width = planes.shape[:2]
    wide = extended(planes, kernel.shape[0] // 2, border)
    wide = extended(wide.transpose(0, 1), kernel.shape[1] // 2, border).transpose(0, 1)
    filtered = torch.zeros_like(planes)
    for row, column in kernel.nonzero().tolist():
        filtered += wide[row : row + height, column : column + width] * kernel[row, column].item()
    return filtered


def gaussian_filter(planes: Tensor, sigma: float, border: Border, truncate: float = 4.0) -> Tensor:
    """A Gaussian blur, cut off at ``truncate`` sigmas; the sums run as in scipy, to the last bit."""
    weights = gaussian_weights(sigma, int(truncate * sigma + 0.5))
    return _blur_rows(_blur_rows(planes, weights, border).transpose(0, 1), weights, border).transpose(0, 1)


def gaussian_weights(sigma: float, radius: int) -> list[float]:
    """The weights at distances 0, 1, ... radius, which sum to 1 over both sides."""
    if not radius:
        return [1.0]
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    half: list[float] = (weights / weights.sum())[radius:].tolist()
    return half


def _blur_rows(planes: Tensor, weights: list[float], border: Border) -> Tensor:
    height, radius = len(planes), len(weights) - 1
    wide = extended(planes, radius, border)
    blurred = planes * weights[0]
    for distance in range(radius, 0, -1):
        above, below = wide[radius - distance :][:height], wide[radius + distance :][:height]
        blurred += (above + below) * weights[distance]
    return blurred


def disk(radius: float, alias: float) -> Tensor:
    """The kernel of a lens out of focus: a disk, smoothed by a Gaussian of 3x3 taps (5x5 above a radius of 8)."""
    reach, taps = (8, 1) if radius <= 8 else (math.ceil(radius), 2)
    steps = torch.arange(-reach, reach + 1)
    inside = (steps.unsqueeze(1) ** 2 + steps**2 <= radius**2).float().unsqueeze(2)
    weights = gaussian_weights(alias, taps)
    across = _blur_rows((inside / inside.sum()).transpose(0, 1), weights, mirrored).transpose(0, 1)
    return _blur_rows(across, weights, mirrored).squeeze(2)
