"""Matrix products in full single precision."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

FULL = ("none", "ieee")  # what a back end says where nothing, or this, has been asked of it


@contextmanager
def full_products(device: torch.device) -> Iterator[None]:
    """Within, float32 stays float32, also in matrix products, whatever autocast or the caller's settings allow.

    Args:
        device: whose autocast ends.
    """
    # Each back end's own setting: torch.get_float32_matmul_precision raises where a caller has set one of these.
    products: tuple[Any, Any] = (torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul"))  # noqa: B009
    lower = [(each, each.fp32_precision) for each in products if each.fp32_precision not in FULL]
    autocast = torch.is_autocast_enabled(device.type)
    try:
        for each, _ in lower:
            each.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False) if autocast else nullcontext():
            yield
    finally:
        for each, precision in lower:
            each.fp32_precision = precision
