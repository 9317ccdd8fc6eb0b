"""Large batches in parts."""

from collections.abc import Callable

import torch
from torch import Tensor

CACHED = 65536  # pixels of a channel that a processor's cache holds the intermediate results of


def by_parts(work: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """What work makes of tensors (N, C, H, W): on a processor few images at a time, elsewhere all at once."""
    first = tensors[0]
    few = max(1, CACHED // (first.shape[2] * first.shape[3]))
    if not first.is_cpu or len(first) <= few:
        return work(*tensors)
    return torch.cat([work(*part) for part in zip(*(tensor.split(few) for tensor in tensors))])
