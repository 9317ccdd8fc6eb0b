"""Keep images as flat as they can be near what they were."""

from functools import partial

import torch
from torch import Tensor

from defenses.defense import Defense, Gradient
from defenses.parts import by_parts
from options import check_at_least, check_between, check_whole

RETRACED = 10  # steps of the backward pass; more take more memory and helped an attacker no further where tried


class TotalVariation(Defense):
    """Minimise the total variation near the image, of which some pixels may be dropped (backward pass: of ten steps).

    Rudin et al. 1992; as a defence Guo et al. 2018, arXiv 1711.00117, section 3.2. For each channel z of x this solves
    ``min 1/2 |m (z - x)|^2 + weight TV(z)`` by the primal-dual algorithm of Chambolle & Pock 2011 (algorithm 1, with
    overrelaxation), where m is zero at dropped pixels, of all channels at once, and TV sums gradient lengths.

    Args:
        weight: of the total variation, in pixels scaled to [0, 1]; Guo et al. take 0.03.
        drop: probability that a pixel is dropped; Guo et al. take 0.5, and 0 is plain denoising, without chance.
        steps: of the algorithm.
    """

    gradient: Gradient = "surrogate"

    def __init__(self, weight: float = 0.03, drop: float = 0.5, steps: int = 100) -> None:
        super().__init__()
        check_at_least(self, 0, weight=weight)
        check_between(self, 0, 1, drop=drop)
        check_whole(self, steps=steps)
        check_at_least(self, 1, steps=steps)
        self.weight, self.drop, self.steps = weight, drop, steps
        self.random = drop > 0

    def restore(self, images: Tensor, run: int) -> Tensor:
        return self._flattened(images, run, self.steps)

    def stand_in(self, images: Tensor, run: int) -> Tensor:
        """As far as a few steps get, in which a pixel that is dropped plays no part."""
        return self._flattened(images, run, min(self.steps, RETRACED))

    def _flattened(self, images: Tensor, run: int, steps: int) -> Tensor:
        """Images (N, C, H, W) after so many steps."""
        if not self.weight:
            return images
        kept = torch.ones_like(images[:, :1])
        if self.drop:
            kept = (self.streams(images, run).uniform(1, *images.shape[2:]) >= self.drop).to(images.dtype)
        return by_parts(partial(flattened, weight=self.weight, steps=steps), images, kept).clamp(0, 1)


def flattened(images: Tensor, kept: Tensor, weight: float, steps: int) -> Tensor:
    """The minimiser for images (N, C, H, W) of which pixels (N, 1, H, W) are kept, after so many steps.

    Differentiable in the images; a dropped pixel is only where the search starts, so it gets no gradient.
    """
    primal, dual = 0.25, 0.5  # step lengths, whose product times 8, the norm of the gradient squared, is 1
    current = ahead = torch.where(kept > 0, images, images.detach())
    down = across = torch.zeros_like(images)  # in units of the weight
    share = 1 / (1 + primal * kept)
    pull, push = primal * kept * share * images, primal * weight * share
    for _ in range(steps):
        down = down.add(_differences(ahead, 2), alpha=dual / weight)
        across = across.add(_differences(ahead, 3), alpha=dual / weight)
        shrink = down.square().addcmul(across, across).clamp_(min=1).rsqrt_()
        down, across = down * shrink, across * shrink
        moved = pull.addcmul(share, current).addcmul_(push, _divergence(down, across))
        current, ahead = moved, 2 * moved - current
    return current


def _differences(images: Tensor, axis: int) -> Tensor:
    """Of each pixel's successor and itself, and zero for the last."""
    ahead, count = torch.zeros_like(images), images.shape[axis] - 1
    ahead.narrow(axis, 0, count).copy_(images.narrow(axis, 1, count) - images.narrow(axis, 0, count))
    return ahead


def _divergence(down: Tensor, across: Tensor) -> Tensor:
    """Minus the transpose of the differences."""
    flow = down + across
    flow[:, :, 1:] -= down[:, :, :-1]
    flow[..., 1:] -= across[..., :-1]
    return flow
