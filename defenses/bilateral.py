"""The mean of near pixels of a similar colour."""

import math

import torch
from torch import Tensor

from defenses.borders import mirrored, shifted
from defenses.defense import Defense
from defenses.parts import by_parts
from options import check_above


class Bilateral(Defense):
    """Average near pixels, weighted by distance and by colour (backward pass: exact).

    Tomasi & Manduchi 1998, "Bilateral Filtering for Gray and Color Images". Both weights are Gaussians; two
    colours differ by their Euclidean distance. The thesis's table 4.11 states no options.

    Args:
        distance: standard deviation in pixels; the window reaches two of them.
        colour: standard deviation in pixels scaled to [0, 1].
    """

    def __init__(self, distance: float = 1.5, colour: float = 0.1) -> None:
        super().__init__()
        check_above(self, 0, distance=distance, colour=colour)
        self.distance, self.colour = distance, colour

    def restore(self, images: Tensor, run: int) -> Tensor:
        return by_parts(self._smooth, images)

    def _smooth(self, images: Tensor) -> Tensor:
        reach, size = math.ceil(2 * self.distance), (images.shape[2], images.shape[3])
        wide = mirrored(images, reach, reach)
        total, weights = images.clone(), torch.ones_like(images[:, :1])
        for row in range(-reach, reach + 1):
            for column in range(-reach, reach + 1):
                if row or column:
                    other = shifted(wide, reach + row, reach + column, size)
                    near = (row**2 + column**2) / (2 * self.distance**2)
                    apart = (other - images).square().sum(1, keepdim=True)
                    weight = (-apart / (2 * self.colour**2) - near).clamp(min=-80).exp()  # below, numbers are slow
                    total.addcmul_(weight, other)
                    weights.add_(weight)
        return (total / weights).clamp(0, 1)
