"""Motion of the camera or of flakes: an image averaged along a line."""

import torch
from torch import Tensor

from corruptions.borders import clamped


def motion_blurred(levels: Tensor, radius: int, sigma: float, angles: Tensor) -> Tensor:
    """Average each pixel with those ahead of it, weighted by half a Gaussian; what lies outside is the border pixel.

    Agrees with ImageMagick's motion blur within one grey level.

    Args:
        levels: (N, C, H, W).
        radius: the line has ``2 radius + 1`` steps of one pixel.
        sigma: of the Gaussian, in pixels.
        angles: (N,) in degrees, float64.

    Returns:
        (N, C, H, W) float32, not rounded.
    """
    count, channels, height, width = levels.shape
    steps = torch.arange(2 * radius + 1, device=levels.device, dtype=torch.float64)
    weights = torch.exp(-(steps**2) / (2 * sigma**2))
    down, right = (
        (part.unsqueeze(1) * steps - 0.5).ceil().long() for part in (angles.deg2rad().sin(), angles.deg2rad().cos())
    )
    rows = clamped(torch.arange(height, device=levels.device) + down.unsqueeze(2), height)  # (N, steps, H)
    columns = clamped(torch.arange(width, device=levels.device) + right.unsqueeze(2), width)
    flat = levels.float().flatten(2)
    blurred = torch.zeros_like(flat)
    for step, weight in enumerate((weights / weights.sum()).tolist()):
        index = (rows[:, step].unsqueeze(2) * width + columns[:, step].unsqueeze(1)).view(count, 1, -1)
        blurred += weight * flat.gather(2, index.expand(-1, channels, -1))
    return blurred.view(levels.shape)
