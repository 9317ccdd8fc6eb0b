"""The random numbers of a corruption."""

import zlib

import torch
from torch import Tensor

from draws import GOLDEN, Streams, mix, signed


class Draws(Streams):
    """Streams of random numbers for every image, keyed by its place in the data set."""

    @classmethod
    def keyed(cls, seed: int, name: str, severity: int, indices: Tensor) -> "Draws":
        """The streams of the images with these indices (N,), under one corruption and severity."""
        key = torch.full_like(indices, signed(seed), dtype=torch.int64)
        for part in (zlib.crc32(name.encode()), severity, indices):
            key = mix(key + GOLDEN) + part
        return cls(mix(key + GOLDEN))
