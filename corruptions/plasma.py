"""Clouds by midpoint displacement."""

from torch import Tensor

from corruptions.draws import Draws


def plasma(size: int, decay: float, draws: Draws) -> Tensor:
    """Height maps (N, size, size) from 0 to 1 by the diamond-square algorithm (Fournier et al. 1982), float64.

    Args:
        size: a power of two, 2 at least.
        decay: the roughness is divided by it from one scale to the next finer one.
        draws: one number per point but the first.
    """
    noise = draws.between(-1, 1, size * size - 1).T.contiguous()
    heights = noise.new_zeros(size, size, noise.shape[1])
    step, roughness = size, 100.0
    while step >= 2:
        half, cells = step // 2, size // step
        squares, across, down = noise[: 3 * cells**2].view(3, cells, cells, -1) * roughness * roughness
        noise = noise[3 * cells**2 :]
        corners = heights[::step, ::step]
        pairs = corners + corners.roll(-1, 0)
        middles = (pairs + pairs.roll(-1, 1)) / 4 + squares
        heights[half::step, half::step] = middles
        beside = (middles + middles.roll(1, 0)) + (corners + corners.roll(-1, 1))
        heights[::step, half::step] = beside / 4 + across
        beside = (middles + middles.roll(1, 1)) + (corners + corners.roll(-1, 0))
        heights[half::step, ::step] = beside / 4 + down
        step, roughness = half, roughness / decay
    low, high = heights.amin((0, 1)), heights.amax((0, 1))
    return ((heights - low) / (high - low)).permute(2, 0, 1)
