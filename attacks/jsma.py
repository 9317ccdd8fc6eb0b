"""JSMA: change as few components as possible, each as much as possible."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.attack import Case
from attacks.goal import score_of
from attacks.norms import L2
from attacks.rows import Rows
from attacks.saliency import Pairs, Saliency
from attacks.victim import Trace
from attacks.walk import Walk
from options import check_at_least


@dataclass
class Untouched(Rows):
    """What JSMA remembers.

    Attributes:
        aims: the class (n,) that each walker heads for.
        free: which components (n, d) have not been changed yet.
    """

    aims: Tensor
    free: Tensor


class JSMA(Walk[Untouched]):
    """Jacobian-based saliency map attack: changes few components, chosen by their effect on all scores.

    Papernot et al. 2016, "The Limitations of Deep Learning in Adversarial Settings", arXiv 1511.07528, on logits.
    Without targets, walkers towards the likeliest classes set out together, and the first to fool the model wins. An
    image that is not fooled comes back unchanged.

    Args:
        theta: added to a chosen component, in pixels scaled to [0, 1]; negative values darken.
        gamma: largest share of components that are changed, in (0, 1].
        saliency: ``Pairs`` or ``Singles`` of components at a time; Pairs by default.
        whole_pixels: change all channels of a pixel together.
        reuse: allow a component to be changed again, which matters where theta does not saturate it.
        candidates: classes of the highest clean scores that count where no targets are given, the label included; each
            costs a walker of its own.
    """

    starts_clean = False

    def __init__(
        self,
        theta: float = 1.0,
        gamma: float = 0.1,
        saliency: Saliency | None = None,
        whole_pixels: bool = False,
        reuse: bool = False,
        candidates: int = 10,
    ) -> None:
        if not theta or not abs(theta) <= 1:
            raise ValueError(f"JSMA: theta={theta} must not be 0 and lie in [-1, 1], the range of pixels")
        if not 0 < gamma <= 1:
            raise ValueError(f"JSMA: gamma={gamma} must lie in (0, 1]: it is a share of components")
        check_at_least(self, 2, candidates=candidates)
        self.norm, self.saliency = L2(), saliency or Pairs()
        self.theta, self.gamma, self.candidates = theta, gamma, candidates
        self.whole_pixels, self.reuse = whole_pixels, reuse

    def depart(self, case: Case, scores: Tensor) -> tuple[Case, Untouched]:
        aims = case.goal.contenders(scores, self.candidates)  # (n, k)
        walkers = torch.arange(len(aims), device=aims.device).repeat_interleave(aims.shape[1])
        case = case[walkers]
        return case, Untouched(aims.flatten(), torch.ones_like(self._summed(case.images), dtype=torch.bool))

    def longest(self, case: Case) -> int:
        components = self._grouped(case.images).shape[2]
        return int(self.gamma * components) // self.saliency.count

    def gradients(self, memory: Untouched) -> int:
        return 2

    def step(self, case: Case, memory: Untouched, points: Tensor, trace: Trace) -> tuple[Tensor, Tensor]:
        target = self._summed(trace.gradient(score_of(trace.scores, memory.aims), again=True))
        rest = self._summed(trace.gradient(trace.scores.sum(1))) - target
        sign = 1 if self.theta > 0 else -1
        room = self._grouped(points < 1 if self.theta > 0 else points > 0).any(1)
        chosen, any_left = self.saliency.choose(sign * target, -sign * rest, memory.free & room)
        if not self.reuse:
            memory.free.scatter_(1, chosen, False)
        change = torch.zeros_like(target).scatter_(1, chosen, self.theta)
        points = (self._grouped(points) + change.unsqueeze(1)).view_as(points)
        return points.clamp(0, 1), any_left

    def _grouped(self, images: Tensor) -> Tensor:
        """Images as (n, channels that move together, d)."""
        return images.flatten(2) if self.whole_pixels else images.flatten(1).unsqueeze(1)

    def _summed(self, images: Tensor) -> Tensor:
        """One value per component (n, d)."""
        return self._grouped(images).sum(1)
