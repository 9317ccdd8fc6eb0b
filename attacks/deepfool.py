"""DeepFool: to the nearest boundary of a model taken as affine, again and again."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.attack import Case
from attacks.boxes import Box, ClipBox
from attacks.norms import Norm, NormName, norm_of
from attacks.rows import Rows, column
from attacks.victim import Trace
from attacks.walk import Walk
from options import check_at_least


@dataclass
class Total(Rows):
    """What DeepFool remembers.

    Attributes:
        contenders: classes (n, k) to whose boundary the image is driven, fixed on the way.
        moves: sum of all moves so far, (n, ...).
    """

    contenders: Tensor
    moves: Tensor


class DeepFool(Walk[Total]):
    """Minimum-norm attack: steps to the nearest decision boundary as if scores were affine, until one is crossed.

    Moosavi-Dezfooli et al. 2016, "DeepFool: a simple and accurate method to fool deep neural networks", arXiv
    1511.04599, algorithm 2; equation 10 for norms. The overshoot multiplies the sum of all moves. With targets, each
    step goes to the boundary between the target and the class that leads. An image that is not fooled comes back
    unchanged.

    Args:
        norm: to be small, ``l2`` or ``linf``, or an object.
        steps: at most so many.
        overshoot: share by which the boundary is crossed.
        candidates: classes of the highest clean scores that count, the label included; each costs a gradient a step.
        min_step: added to the length of every move, in pixels scaled to [0, 1]; 0 inside universal perturbations.
        box: ``ClipBox``, ``MaskBox`` or ``NoBox``; ClipBox by default.
    """

    def __init__(
        self,
        norm: Norm | NormName = "l2",
        steps: int = 50,
        overshoot: float = 0.02,
        candidates: int = 10,
        min_step: float = 1e-4,
        box: Box | None = None,
    ) -> None:
        self.norm, self.box = norm_of(norm), box or ClipBox()
        self.steps, self.overshoot, self.candidates, self.min_step = steps, overshoot, candidates, min_step
        self.bounded = self.box.bounded
        check_at_least(self, 0, overshoot=overshoot, min_step=min_step)
        check_at_least(self, 1, steps=steps)
        check_at_least(self, 2, candidates=candidates)

    def depart(self, case: Case, scores: Tensor) -> tuple[Case, Total]:
        return case, Total(case.goal.contenders(scores, self.candidates), torch.zeros_like(case.images))

    def longest(self, case: Case) -> int:
        return self.steps

    def gradients(self, memory: Total) -> int:
        return memory.contenders.shape[1]

    def step(self, case: Case, memory: Total, points: Tensor, trace: Trace) -> tuple[Tensor, Tensor]:
        distance, gradient = self._nearest(case, memory, points, trace)
        moved = distance.isfinite()
        length = torch.where(moved, distance + self.min_step, 0)
        memory.moves += column(length, points) * self.norm.steepest(gradient)
        return self.box.place(case.images + (1 + self.overshoot) * memory.moves), moved

    def _nearest(self, case: Case, memory: Total, points: Tensor, trace: Trace) -> tuple[Tensor, Tensor]:
        """Distance (n,) of the nearest boundary, infinite where no gradient leads to one, and its normal (n, ...)."""
        leads, gradients = self._leads(case, memory, trace)
        gradients = self.box.admissible(points.unsqueeze(1), gradients)
        slopes = self.norm.dual(gradients.flatten(0, 1)).view_as(leads)
        distance, place = torch.where(slopes > 0, leads.abs() / slopes, torch.inf).min(1)
        return distance, gradients[torch.arange(len(place), device=place.device), place]

    def _leads(self, case: Case, memory: Total, trace: Trace) -> tuple[Tensor, Tensor]:
        """How far each contender is ahead (n, k), and the gradients (n, k, ...)."""
        size, count = memory.contenders.shape
        copies = trace.copies(count)
        if copies is not None:
            owner = torch.arange(size, device=memory.contenders.device).repeat_interleave(count)
            lead = case.goal[owner].lead(copies.scores, memory.contenders.flatten())
            return lead.detach().view(size, count), copies.gradient(lead).unflatten(0, (size, count))
        leads = [case.goal.lead(trace.scores, contender) for contender in memory.contenders.unbind(1)]
        gradients = [trace.gradient(lead, again=left > 0) for left, lead in zip(range(count)[::-1], leads)]
        return torch.stack(leads, 1).detach(), torch.stack(gradients, 1)
