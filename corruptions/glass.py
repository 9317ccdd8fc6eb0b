"""The local moves of pixels behind frosted glass."""

import torch
from torch import Tensor


def shuffled_from(down: Tensor, right: Tensor, reach: int) -> Tensor:
    """Where each pixel's content comes from in one pass, as flat positions (N, H * W).

    The benchmark walks from the lower right corner to the upper left one and lets each pixel at least ``reach`` away
    from the border copy one of its neighbours; that neighbour keeps its own content, though a swap was meant. One that
    was visited before hands on what it has copied itself, so the chains are followed to their ends, in doubling
    strides.

    Args:
        down: (N, H, W) integers, how far below each pixel its neighbour lies; from -reach to reach - 1.
        right: (N, H, W) integers, how far to the right.
        reach: of the moves, in pixels.
    """
    count, height, width = down.shape
    places = torch.arange(height * width, device=down.device).view(height, width)
    inside = torch.zeros_like(places, dtype=torch.bool)
    inside[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1] = True
    copied = torch.where(inside, places + down * width + right, places).view(count, -1)
    visited_before = inside.flatten()[copied] & (copied > places.flatten())
    ahead = torch.where(visited_before, copied, places.flatten())
    further = ahead.gather(1, ahead)
    while not torch.equal(ahead, further):
        ahead, further = further, further.gather(1, further)
    return copied.gather(1, ahead)
