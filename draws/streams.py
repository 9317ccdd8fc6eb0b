"""Streams of random numbers for every image of a batch."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from draws.hashing import hashed


@dataclass(frozen=True)
class Streams:
    """Streams of random numbers for every image, each number a hash of the image's key and the number's place.

    Attributes:
        keys: (N,) 64-bit.
    """

    keys: Tensor

    def uniform(self, *shape: int, stream: int = 0) -> Tensor:
        """Numbers (N, *shape) in the open interval (0, 1), float64; each stream has its own."""
        bits = (hashed(self.keys, math.prod(shape), stream) >> 12).bitwise_and_(2**52 - 1)
        return bits.double().add_(0.5).mul_(2**-52).view(len(self.keys), *shape)  # exact, and never 0 or 1

    def normal(self, *shape: int, stream: int = 0) -> Tensor:
        """Standard normal numbers (N, *shape), float64."""
        return torch.erfinv(2 * self.uniform(*shape, stream=stream) - 1) * 2**0.5

    def integers(self, low: int, high: int, *shape: int, stream: int = 0) -> Tensor:
        """Integers (N, *shape) from low to high - 1, equally likely."""
        return (self.uniform(*shape, stream=stream) * (high - low)).long() + low

    def between(self, low: float, high: float, *shape: int, stream: int = 0) -> Tensor:
        """Numbers (N, *shape) between low and high, float64, equally likely."""
        return low + (high - low) * self.uniform(*shape, stream=stream)
