"""Random numbers that belong to an image: neither its neighbours nor the device change them."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attacks.rows import Rows


def _signed(value: int) -> int:
    """An integer modulo 2**64 as a tensor of 64-bit integers holds it."""
    return (value + 2**63) % 2**64 - 2**63


GOLDEN = _signed(0x9E3779B97F4A7C15)  # odd, 2**64 over the golden ratio
FIRST, SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


@dataclass
class Draws(Rows):
    """A stream of random numbers for every image, each a hash of the image's key and the number's place.

    The hash is SplitMix64 (Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators", figure 17), whose
    64-bit integers are the same on every device.

    Attributes:
        keys: (N,) 64-bit.
    """

    keys: Tensor

    def uniform(self, count: int, stream: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """So many numbers per image (N, count) in the open interval (0, 1); each stream has its own."""
        starts = _mix(self.keys + _signed(GOLDEN * (stream + 1))).unsqueeze(1)
        places = torch.arange(1, count + 1, device=self.keys.device) * GOLDEN
        return ((_mix(starts + places) >> 41 & (2**23 - 1)).to(dtype) + 0.5) / 2**23  # exact in float32, never 0 or 1

    def normal(self, count: int, stream: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal numbers (N, count)."""
        return torch.erfinv(2 * self.uniform(count, stream, dtype) - 1) * 2**0.5


def draws_of(images: Tensor, generator: Generator | None) -> Draws:
    """The streams of a batch of images (N, ...).

    Without a generator a key follows from the seed of ``seed_everything`` and the image's own pixels: the same in every
    call, whatever the batch, its order or the rank, and no random state changes. A generator gives one key per image in
    their order: new ones in each call, whatever the size of the batches.
    """
    if generator is None:
        return Draws(_fingerprint(images, torch.initial_seed()))
    if generator.device.type != "cpu":
        raise ValueError(
            f"generator lives on {generator.device}, where draws depend on the size of the batch: give a CPU "
            "generator, torch.Generator(), which serves images on any device"
        )
    keys = torch.randint(-(2**63), 2**63 - 1, (len(images),), generator=generator)
    return Draws(keys.to(images.device))


def _fingerprint(images: Tensor, seed: int) -> Tensor:
    """A key (N,) from the bits of each image and a seed of up to 64 bits."""
    bits = images.float().contiguous().flatten(1).view(torch.int32).long()
    places = torch.arange(1, bits.shape[1] + 1, device=bits.device) * GOLDEN
    return _mix(_mix(bits + places).sum(1) + _signed(seed))


def _mix(values: Tensor) -> Tensor:
    """SplitMix64's finaliser on 64-bit integers, which overflow as it wants; shifts fill with zeros."""
    values = (values ^ (values >> 30 & (2**34 - 1))) * FIRST
    values = (values ^ (values >> 27 & (2**37 - 1))) * SECOND
    return values ^ (values >> 31 & (2**33 - 1))
