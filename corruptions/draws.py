"""Random numbers that belong to an image: neither its neighbours nor the order nor the device change them."""

import math
import zlib
from dataclasses import dataclass

import torch
from torch import Tensor


def _signed(value: int) -> int:
    """An integer modulo 2**64 as a tensor of 64-bit integers holds it."""
    return (value + 2**63) % 2**64 - 2**63


GOLDEN = _signed(0x9E3779B97F4A7C15)  # odd, 2**64 over the golden ratio
FIRST, SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


@dataclass(frozen=True)
class Draws:
    """Streams of random numbers for every image, each number a hash of the image's key and the number's place.

    The hash is SplitMix64 (Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators", figure 17), whose
    64-bit integers are the same on every device.

    Attributes:
        keys: (N,) 64-bit.
    """

    keys: Tensor

    @classmethod
    def keyed(cls, seed: int, name: str, severity: int, indices: Tensor) -> "Draws":
        """The streams of the images with these indices (N,), under one corruption and severity."""
        key = torch.full_like(indices, _signed(seed), dtype=torch.int64)
        for part in (zlib.crc32(name.encode()), severity, indices):
            key = _mix(key + GOLDEN) + part
        return cls(_mix(key + GOLDEN))

    def uniform(self, *shape: int, stream: int = 0) -> Tensor:
        """Numbers (N, *shape) in the open interval (0, 1), float64; each stream has its own."""
        starts = _mix(self.keys + _signed(GOLDEN * (stream + 1))).unsqueeze(1)
        places = torch.arange(1, math.prod(shape) + 1, device=self.keys.device) * GOLDEN
        bits = _mix(starts + places) >> 12 & (2**52 - 1)
        return ((bits.double() + 0.5) / 2**52).view(-1, *shape)  # exact, and never 0 or 1

    def normal(self, *shape: int, stream: int = 0) -> Tensor:
        """Standard normal numbers (N, *shape), float64."""
        return torch.erfinv(2 * self.uniform(*shape, stream=stream) - 1) * 2**0.5

    def integers(self, low: int, high: int, *shape: int, stream: int = 0) -> Tensor:
        """Integers (N, *shape) from low to high - 1, equally likely."""
        return (self.uniform(*shape, stream=stream) * (high - low)).long() + low

    def between(self, low: float, high: float, *shape: int, stream: int = 0) -> Tensor:
        """Numbers (N, *shape) between low and high, float64, equally likely."""
        return low + (high - low) * self.uniform(*shape, stream=stream)


def _mix(values: Tensor) -> Tensor:
    """SplitMix64's finaliser on 64-bit integers, which overflow as it wants; shifts fill with zeros."""
    values = (values ^ (values >> 30 & (2**34 - 1))) * FIRST
    values = (values ^ (values >> 27 & (2**37 - 1))) * SECOND
    return values ^ (values >> 31 & (2**33 - 1))
