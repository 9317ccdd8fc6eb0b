"""Matrix products in full single precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def full_products(device: torch.device) -> Iterator[None]:
    """Within, float32 stays float32, also in matrix products, whatever autocast or the caller's settings allow.

    Args:
        device: whose autocast ends.
    """
    # Each back end's own setting: torch.get_float32_matmul_precision raises where a caller has set one of these.
    products: tuple[Any, Any] = (torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul"))  # noqa: B009
    before = [each.fp32_precision for each in products]
    try:
        for each in products:
            each.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for each, precision in zip(products, before):
            each.fp32_precision = precision
