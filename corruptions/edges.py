"""Edges of grey pictures, and how far each pixel is from one, as OpenCV finds them.

Pictures are planes (H, W, N); int64 unless said otherwise.
"""

from itertools import product

import torch
from torch import Tensor

from corruptions.borders import clamped
from corruptions.filters import correlate

TANGENT = 13573  # of 22.5 degrees, times 2**15
AROUND = [(down, right) for down, right in product((-1, 0, 1), repeat=2) if (down, right) != (0, 0)]
KNIGHT = [(a * s, b * t) for a, b in ((1, 2), (2, 1)) for s, t in product((-1, 1), repeat=2)]
# Steps of the 5x5 mask of Borgefors (1986), "Distance transformations in digital images", 1, 1.4 and 2.1969 pixels
# long, in multiples of 1 / PIXEL.
PIXEL = 2**16
STEPS = [(move, PIXEL if 0 in move else 91750) for move in AROUND] + [(move, 143976) for move in KNIGHT]


def shifted(planes: Tensor, down: int, right: int, outside: int) -> Tensor:
    """The neighbours so far below and to the right; outside the picture there is a constant."""
    height, width = planes.shape[:2]
    moved = torch.full_like(planes, outside)
    rows, columns = slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right))
    from_rows = slice(max(0, down), height + min(0, down))
    from_columns = slice(max(0, right), width + min(0, right))
    moved[rows, columns] = planes[from_rows, from_columns]
    return moved


def edges(planes: Tensor, low: int, high: int) -> Tensor:
    """Canny's edges (1986), boolean: ridges of the gradient above ``low`` that hang on one above ``high``."""
    smooth, slope = torch.tensor([[1, 2, 1]]), torch.tensor([[-1, 0, 1]])
    right = correlate(planes, smooth.T * slope, clamped)
    down = correlate(planes, slope.T * smooth, clamped)
    size = right.abs() + down.abs()
    ridge = (size > low) & _is_ridge(size, right, down)
    return _hanging_on(ridge & (size > high), ridge)


def _is_ridge(size: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Larger than both neighbours along the gradient, whose direction is one of four."""
    flat, steep = right.abs() * TANGENT, down.abs() << 15
    across = (size > shifted(size, 0, -1, 0)) & (size >= shifted(size, 0, 1, 0))
    along = (size > shifted(size, -1, 0, 0)) & (size >= shifted(size, 1, 0, 0))
    falling = (size > shifted(size, -1, -1, 0)) & (size > shifted(size, 1, 1, 0))
    rising = (size > shifted(size, -1, 1, 0)) & (size > shifted(size, 1, -1, 0))
    diagonal = torch.where((right < 0) == (down < 0), falling, rising)
    return torch.where(steep < flat, across, torch.where(steep > flat + (right.abs() << 16), along, diagonal))


def _hanging_on(seeds: Tensor, ridge: Tensor) -> Tensor:
    """What of a ridge can be reached from the seeds through its eight neighbours."""
    reached = seeds
    while True:
        grown = reached.clone()
        for down, right in AROUND:
            grown |= shifted(reached, down, right, 0)
        grown &= ridge
        if torch.equal(grown, reached):
            return reached
        reached = grown


def distance(edge: Tensor, most: int) -> Tensor:
    """How far each pixel is from an edge, in pixels and ``most`` at most, float32.

    Distances are lengths of the shortest path of straight, diagonal and knight's steps.
    """
    far = torch.where(edge, 0, most * PIXEL)
    for _ in range(most):
        nearer = far
        for (down, right), length in STEPS:
            nearer = nearer.minimum(shifted(far, down, right, most * PIXEL) + length)
        if torch.equal(nearer, far):
            break
        far = nearer
    return far.float() / PIXEL
