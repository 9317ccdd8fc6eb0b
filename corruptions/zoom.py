"""Magnifying the middle of an image."""

import math

import torch
from torch import Tensor


def zoomed(planes: Tensor, height: int, width: int, factor: float) -> Tensor:
    """Enlarge planes (h, w, M) by a factor, linearly between pixel centres, and keep the middle (height, width, M).

    All in float64.
    """
    return _stretched(_stretched(planes, height, factor).transpose(0, 1), width, factor).transpose(0, 1)


def middle(size: int, factor: float) -> slice:
    """The part of an axis that fills it after magnification."""
    length = math.ceil(size / factor)
    start = (size - length) // 2
    return slice(start, start + length)


def _stretched(planes: Tensor, size: int, factor: float) -> Tensor:
    length = len(planes)
    stretched = round(length * factor)
    start = (stretched - size) // 2
    places = torch.arange(start, start + size, device=planes.device, dtype=torch.float64)
    places = places * ((length - 1) / max(1, stretched - 1))
    lower = places.floor().clamp(max=max(0, length - 2))
    share = (places - lower).view(-1, *[1] * (planes.dim() - 1))
    above, below = lower.long(), (lower.long() + 1).clamp(max=length - 1)
    return planes.index_select(0, above).lerp_(planes.index_select(0, below), share)
