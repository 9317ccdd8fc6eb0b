"""Let colours flow, but not across edges."""

import torch.nn.functional as F
from torch import Tensor

from defenses.defense import Defense
from defenses.parts import by_parts
from options import check_above, check_at_least, check_between, check_whole


class AnisotropicDiffusion(Defense):
    """Diffuse each channel, the less the larger the step between two pixels is (backward pass: exact).

    Perona & Malik 1990, "Scale-Space and Edge Detection Using Anisotropic Diffusion", equations 7 and 8 with the
    conductance ``exp(-(step / edge)^2)``. The thesis's table 4.11 states no options.

    Args:
        steps: so many times.
        edge: step between two pixels, scaled to [0, 1], that counts as an edge.
        rate: share of a difference that flows in a step, at most 0.25, where it is still stable.
    """

    def __init__(self, steps: int = 10, edge: float = 0.1, rate: float = 0.2) -> None:
        super().__init__()
        check_whole(self, steps=steps)
        check_at_least(self, 0, steps=steps)
        check_above(self, 0, edge=edge)
        check_between(self, 0, 0.25, rate=rate)
        self.steps, self.edge, self.rate = steps, edge, rate

    def restore(self, images: Tensor, run: int) -> Tensor:
        return by_parts(self._diffused, images)

    def _diffused(self, images: Tensor) -> Tensor:
        for _ in range(self.steps):
            down, across = (self._flow(images.diff(dim=axis)) for axis in (2, 3))
            images = images + self.rate * (_gain(down, 2) + _gain(across, 3))
        return images.clamp(0, 1)

    def _flow(self, steps: Tensor) -> Tensor:
        """What flows between neighbours, from their differences."""
        return steps * (-(steps / self.edge).square()).exp()


def _gain(flow: Tensor, axis: int) -> Tensor:
    """What each pixel gains by flows between neighbours along an axis; nothing crosses the border."""
    before, after = ((1, 0), (0, 1)) if axis == 3 else ((0, 0, 1, 0), (0, 0, 0, 1))
    return F.pad(flow, after) - F.pad(flow, before)
