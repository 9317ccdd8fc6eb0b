"""Square blocks of images and their cosine transform."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def to_blocks(channels: Tensor, side: int) -> Tensor:
    """Channels (N, C, H, W) cut into blocks (N, C, rows, columns, side, side), the last pixels repeated to fill up."""
    height, width = channels.shape[2:]
    full = F.pad(channels, (0, -width % side, 0, -height % side), mode="replicate")
    blocks: Tensor = full.unflatten(3, (-1, side)).unflatten(2, (-1, side)).transpose(3, 4)
    return blocks


def from_blocks(blocks: Tensor, size: tuple[int, int]) -> Tensor:
    """The channels of this size again."""
    return blocks.transpose(3, 4).flatten(4, 5).flatten(2, 3)[..., : size[0], : size[1]]


def harmonics(side: int, like: Tensor) -> Tensor:
    """The orthonormal cosine transform of an axis (side, side), a frequency in each row; D @ block @ D.T transforms."""
    return _harmonics(side).to(like)


@lru_cache(maxsize=8)
def _harmonics(side: int) -> Tensor:
    with torch.inference_mode(False):
        places = torch.arange(side, dtype=torch.float64)
        waves: Tensor = torch.outer(places, (places + 0.5) * (math.pi / side)).cos() * (2 / side) ** 0.5
        waves[0] /= 2**0.5
        return waves
