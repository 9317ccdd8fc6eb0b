"""SplitMix64, whose 64-bit integers are the same on every device.

Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators", figure 17.
"""

from functools import lru_cache

import torch
from torch import Tensor


def signed(value: int) -> int:
    """An integer modulo 2**64 as a tensor of 64-bit integers holds it."""
    return (value + 2**63) % 2**64 - 2**63


GOLDEN = signed(0x9E3779B97F4A7C15)  # odd, 2**64 over the golden ratio
FIRST, SECOND = signed(0xBF58476D1CE4E5B9), signed(0x94D049BB133111EB)


def mix(values: Tensor) -> Tensor:
    """The finaliser on 64-bit integers, which overflow as it wants."""
    values = _xor_shifted(_xor_shifted(values, 30).mul_(FIRST), 27).mul_(SECOND)
    return _xor_shifted(values, 31)


def _xor_shifted(values: Tensor, places: int) -> Tensor:
    """Numbers xor themselves shifted to the right, where zeros come in."""
    return (values >> places).bitwise_and_(2 ** (64 - places) - 1).bitwise_xor_(values)


def hashed(keys: Tensor, count: int, stream: int) -> Tensor:
    """So many random 64-bit integers (N, count) for each key (N,); each stream has its own."""
    starts = mix(keys + signed(GOLDEN * (stream + 1))).unsqueeze(1)
    return mix(starts + multiples(count, keys.device))


@lru_cache(maxsize=4)
def multiples(count: int, device: torch.device) -> Tensor:
    """So many multiples of ``GOLDEN``, from the first, modulo 2**64; made once."""
    return torch.arange(1, count + 1, device=device) * GOLDEN
