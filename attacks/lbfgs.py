"""The attack that adversarial examples were found with: least distance + cross-entropy of a target, by L-BFGS."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.attack import Case, Found
from attacks.goal import Targeted
from attacks.penalty_search import PenaltySearch
from attacks.quasi_newton import QuasiNewton
from attacks.rows import column, narrow, places
from attacks.victim import Trace, Victim
from options import check_above, check_at_least


@dataclass
class Aimed(Case):
    """Images with the class that each is driven to, whatever the goal accepts.

    Attributes:
        aim: that class.
    """

    aim: Targeted


class LBFGS(PenaltySearch[Aimed]):
    """Minimum-norm attack: squared L2 distance + c × cross-entropy of a target, by L-BFGS within the range of pixels.

    Szegedy et al. 2014, "Intriguing properties of neural networks", arXiv 1312.6199, section 4.1, whose c weighs the
    distance instead. Every image has its own c, line search, curvature and end. Without targets the likeliest classes
    are tried side by side; the nearest point that fools the model is kept. An image that is not fooled comes back
    unchanged.

    Args:
        steps: trial points in a search, at most.
        searches: constants that are tried for each image.
        initial_c: the first constant; ten times as much as long as nothing succeeds, then bisection.
        candidates: classes of the highest clean scores that count where no targets are given, the label included; each
            costs searches of its own.
    """

    starts_clean = False

    def __init__(self, steps: int = 100, searches: int = 10, initial_c: float = 1.0, candidates: int = 3) -> None:
        check_at_least(self, 1, steps=steps, searches=searches)
        check_at_least(self, 2, candidates=candidates)
        check_above(self, 0, initial_c=initial_c)
        self.steps, self.searches, self.initial_c, self.candidates = steps, searches, initial_c, candidates

    def depart(self, case: Case, scores: Tensor) -> Aimed:
        aims = case.goal.contenders(scores, self.candidates)  # (n, k)
        case = case[torch.arange(len(aims), device=aims.device).repeat_interleave(aims.shape[1])]
        return Aimed(case.images, case.goal, case.owners, Targeted(aims.flatten()))

    def minimise(self, victim: Victim, case: Aimed, c: Tensor, found: Found) -> Tensor:
        succeeded, begun = torch.zeros_like(c, dtype=torch.bool), torch.arange(len(c), device=c.device)
        descent = QuasiNewton.at(case.images, curvature=2)  # that of the squared distance
        for step in range(self.steps):
            trial = descent.trial()
            trace = victim.trace(trial, case.owners)
            distance = (trial - case.images).flatten(1).square().sum(1)
            succeeded[begun] |= self.offer(case, trial, distance, trace.scores, found)
            value = distance - c * case.aim.loss(trace.scores.detach())
            taken, on = descent.judge(trial, value)
            going = places(on)
            if not len(going):
                break
            trace = trace.keep(going)
            case, c, begun, descent, trial, value, taken = narrow(going, case, c, begun, descent, trial, value, taken)
            descent.advance(step, trial, value, self._slope(case, c, trial, places(taken), trace), taken)
            found.count_step(case.owners)
        return succeeded

    def _slope(self, case: Aimed, c: Tensor, trial: Tensor, taken: Tensor, trace: Trace) -> Tensor:
        """The gradient (n, ...) of what is minimised, at the places (m,) of trials that are taken."""
        slope = 2 * (trial - case.images)
        if len(taken):
            trace = trace.keep(taken)
            slope[taken] -= column(c[taken], trial) * trace.gradient(case.aim[taken].loss(trace.scores))
        return slope
