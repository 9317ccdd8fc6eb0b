"""Reading images between their pixels, and changing their size."""

from functools import lru_cache

import torch
from torch import Tensor

from corruptions.borders import Border

FIXED = 2**22  # Pillow's weights are multiples of 1 / FIXED


def bilinear(pixels: Tensor, rows: Tensor, columns: Tensor, border: Border) -> Tensor:
    """Read images (N, C, H, W) at positions (N, H', W') float64, linearly between pixel centres; float32.

    The sums are in float64 and rounded once, so that a flat region stays exactly as it is.
    """
    _, channels, height, width = pixels.shape
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top).flatten(1).unsqueeze(1), (columns - left).flatten(1).unsqueeze(1)
    above, below = (border(top.long() + k, height) * width for k in (0, 1))
    before, after = (border(left.long() + k, width) for k in (0, 1))

    def at(index: Tensor) -> Tensor:
        return pixels.flatten(2).gather(2, index.flatten(1).unsqueeze(1).expand(-1, channels, -1))

    upper = at(above + before) * (1 - right) + at(above + after) * right
    lower = at(below + before) * (1 - right) + at(below + after) * right
    return (upper * (1 - down) + lower * down).float().view(-1, channels, *rows.shape[1:])


def affine_from(height: int, width: int, moves: Tensor) -> Tensor:
    """The affine map (N, 2, 3) from a position (x, y, 1) in the moved image to the place (x, y) it shows, float64.

    Three points about the centre, a third of the shorter side apart from it, are moved; the image follows.

    Args:
        height: of the image.
        width: of the image.
        moves: (N, 3, 2), of each point, to the right and down, in pixels.
    """
    third = min(height, width) // 3
    # The benchmark takes (height, width) for (x, y) here, which matters only for images that are not square.
    centre = moves.new_tensor([height // 2, width // 2])
    points = centre + moves.new_tensor([[third, third], [third, -third], [-third, -third]])
    (x0, y0), (x1, y1), (x2, y2) = (point.unbind(1) for point in (points + moves).float().double().unbind(1))
    # From two edges of the moved triangle and the same edges before.
    first, second = points[1] - points[0], points[2] - points[0]
    area = ((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)).unsqueeze(1)
    by_x = ((y2 - y0).unsqueeze(1) * first - (y1 - y0).unsqueeze(1) * second) / area
    by_y = ((x1 - x0).unsqueeze(1) * second - (x2 - x0).unsqueeze(1) * first) / area
    constant = points[0] - by_x * x0.unsqueeze(1) - by_y * y0.unsqueeze(1)
    return torch.stack([by_x, by_y, constant], dim=2)


def mapped(affine: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The rows and columns (N, H, W) that an affine map (N, 2, 3) reads, to 1/32 of a pixel.

    OpenCV, with which the benchmark was made, rounds so: first the part of x and the rest to 1/1024, then their sum.
    """
    x = torch.arange(width, device=affine.device)
    y = torch.arange(height, device=affine.device).unsqueeze(1)
    by_x, by_y, constant = affine.view(-1, 2, 3, 1, 1).unbind(2)
    fine = (by_x * x * 1024).round() + ((by_y * y + constant) * 1024).round()
    columns, rows = (((fine + 16) / 32).floor() / 32).unbind(1)
    return rows, columns


def box_resized(levels: Tensor, height: int, width: int) -> Tensor:
    """Resize bytes (N, C, H, W) by averaging over boxes, rows first, exactly as Pillow does; bytes again."""
    across = box_weights(levels.shape[3], width).to(levels.device)
    down = box_weights(levels.shape[2], height).to(levels.device)
    return _fixed_point(down @ _fixed_point(levels.double() @ across.T)).to(torch.uint8)


def _fixed_point(sums: Tensor) -> Tensor:
    """Divide sums of bytes times integer weights by FIXED, rounded; exact in float64, in any order."""
    return ((sums + FIXED // 2) / FIXED).floor().clamp(0, 255)


@lru_cache(maxsize=32)
def box_weights(size: int, resized: int) -> Tensor:
    """The weights (resized, size) of a box filter, in multiples of 1 / FIXED."""
    scale = size / resized
    reach = 0.5 * max(1.0, scale)
    weights = torch.zeros(resized, size, dtype=torch.float64)
    for row in range(resized):
        centre = (row + 0.5) * scale
        first, last = max(0, int(centre - reach + 0.5)), min(size, int(centre + reach + 0.5))
        places = (torch.arange(first, last, dtype=torch.float64) - centre + 0.5) * (1 / max(1.0, scale))
        inside = ((places > -0.5) & (places <= 0.5)).double()
        weights[row, first:last] = (inside / inside.sum() * FIXED + 0.5).floor()
    return weights
