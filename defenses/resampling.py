"""Images read at places between their pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor


def places(size: int, start: Tensor, extent: Tensor, dtype: torch.dtype) -> Tensor:
    """Where the pixels of an axis are read (N, size), in [-1, 1], if the image is to cover an interval of the axis.

    Args:
        size: of the axis in pixels.
        start: of the interval in pixels, (N,).
        extent: its length, (N,).
        dtype: of the result.
    """
    pixels = torch.arange(size, device=start.device) + 0.5
    return ((pixels - start.unsqueeze(1)) / extent.unsqueeze(1) * 2 - 1).to(dtype)


def read(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images (N, C, H, W) read bilinearly at rows (N, H') and columns (N, W'); beyond the border it goes on."""
    grid = torch.stack(torch.broadcast_tensors(columns.unsqueeze(1), rows.unsqueeze(2)), dim=3)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
