"""Where the key of an image comes from: its own pixels and the seed, or a generator."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from draws.hashing import mix, multiples, signed

ENOUGH = 2**11  # values of an image that a weighted sum reads; all of them below twice as many
STRETCH = 64  # values in a row that are read of a larger one
Digest = Callable[[Tensor], Tensor]  # from images (N, pixels), float32 and contiguous, to 64-bit numbers (N,)


def mixed_sum(pixels: Tensor) -> Tensor:
    """The sum of what SplitMix64 makes of every pixel's bits and its place."""
    bits = pixels.view(torch.int32).long()
    return mix(bits + multiples(bits.shape[1], bits.device)).sum(1)


def weighted_sum(pixels: Tensor) -> Tensor:
    """The sum of pixels' bits, taken in pairs, times fixed random odd numbers; far less work than mixing each.

    Multilinear hashing modulo 2**64 (Lemire & Kaser 2014, "Strongly Universal String Hashing is Fast"). Of a large
    image only some stretches are read, evenly spread, for reading all takes as long as copying it. Two images that know
    nothing of the weights share a number once in 2**32 times; once in 2**9 where their pixels are powers of two and
    differ in every other place only; and always where large ones differ only in what is not read. They would share
    draws, which is no harm.
    """
    apart = pixels.shape[1] // ENOUGH | 1  # odd, so that stretches move on through the columns
    if apart > 1:
        pixels = pixels.unfold(1, STRETCH, STRETCH * apart).flatten(1)
    rest = pixels.shape[1] % 2
    if rest or pixels.storage_offset() % 2:  # not from a whole pair on
        pixels = F.pad(pixels, (0, rest)).clone()
    pairs = pixels.view(torch.int64)
    weights = _weights(pairs.shape[1], pairs.device)
    return torch.mv(pairs, weights) if pairs.is_cpu else (pairs * weights).sum(1)


def keys_of(images: Tensor, generator: Generator | None, digest: Digest = mixed_sum) -> Tensor:
    """The keys (N,) of a batch of images (N, ...).

    Without a generator a key follows from the seed of ``seed_everything`` and the image's own pixels: the same in every
    call, whatever the batch, its order or the rank, and no random state changes. A generator gives one key per image in
    their order: new ones in each call, whatever the size of the batches.
    """
    if generator is None:
        return mix(digest(images.detach().float().contiguous().flatten(1)) + signed(torch.initial_seed()))
    if generator.device.type != "cpu":
        raise ValueError(
            f"generator lives on {generator.device}, where draws depend on the size of the batch: give a CPU "
            "generator, torch.Generator(), which serves images on any device"
        )
    keys = torch.randint(-(2**63), 2**63 - 1, (len(images),), generator=generator)
    return keys.to(images.device)


@lru_cache(maxsize=8)
def _weights(count: int, device: torch.device) -> Tensor:
    return mix(multiples(count, device)) | 1
