"""Matrix products in full single precision."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

FULL = ("none", "ieee")  # what a back end says where nothing, or this, has been asked of it


def full_products(device: torch.device) -> AbstractContextManager[None]:
    """Within, float32 stays float32, also in matrix products, whatever autocast or the caller's settings allow.

    Args:
        device: whose autocast ends.
    """
    # Each back end's own setting: torch.get_float32_matmul_precision raises where a caller has set one of these.
    products: tuple[Any, Any] = (torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul"))  # noqa: B009
    lower = [each for each in products if each.fp32_precision not in FULL]
    autocast = torch.is_autocast_enabled(device.type)
    return _raised(lower, device.type if autocast else None) if lower or autocast else nullcontext()


@contextmanager
def _raised(products: list[Any], autocast: str | None) -> Iterator[None]:
    """These settings at full precision, and autocast off on this type of device."""
    before = [each.fp32_precision for each in products]
    try:
        for each in products:
            each.fp32_precision = "ieee"
        with torch.autocast(autocast, enabled=False) if autocast else nullcontext():
            yield
    finally:
        for each, precision in zip(products, before):
            each.fp32_precision = precision
