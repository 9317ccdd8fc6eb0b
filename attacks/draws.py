"""The random numbers of an attack."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attacks.rows import Rows
from draws import hashed, keys_of


@dataclass
class Draws(Rows):
    """A stream of random numbers for every image, each a hash of the image's key and the number's place.

    Attributes:
        keys: (N,) 64-bit.
    """

    keys: Tensor

    def uniform(self, count: int, stream: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """So many numbers per image (N, count) in the open interval (0, 1); each stream has its own."""
        bits = hashed(self.keys, count, stream) >> 41 & (2**23 - 1)
        return (bits.to(dtype) + 0.5) / 2**23  # exact in float32, never 0 or 1

    def normal(self, count: int, stream: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal numbers (N, count)."""
        return torch.erfinv(2 * self.uniform(count, stream, dtype) - 1) * 2**0.5


def draws_of(images: Tensor, generator: Generator | None) -> Draws:
    """The streams of a batch of images (N, ...), from their own pixels or from a generator: see ``draws.keys_of``."""
    return Draws(keys_of(images, generator))
