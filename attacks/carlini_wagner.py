"""Carlini and Wagner's attack: the least squared distance beyond a margin, by Adam."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.adam import Adam
from attacks.attack import Case, Found
from attacks.goal import Goal
from attacks.penalty_search import PenaltySearch
from attacks.rows import Rows, column, narrow, places
from attacks.victim import Trace, Victim
from options import check_above, check_at_least

CHECKS = 10  # how often in a search it is looked whether an image has settled, as in the authors' code
LEAST = 40  # but not after fewer steps: Adam overshoots at first, and its loss comes down in waves
SETTLED = 0.9999  # the mean loss has not even fallen to this share of what it was before, as in the authors' code


@dataclass
class Descent(Rows):
    """Images on their way to a minimum.

    Attributes:
        w: (n, ...) the free variable; pixels are (tanh w + 1) / 2.
        adam: the optimiser of each.
        c: (n,) the weight of the margin.
        loss: (n,) summed since the last look.
        before: (n,) the same sum at the last look.
        places: (n,) among the images that the search began with.
    """

    w: Tensor
    adam: Adam
    c: Tensor
    loss: Tensor
    before: Tensor
    places: Tensor


class CarliniWagner(PenaltySearch[Case]):
    """Minimum-norm attack: squared L2 distance + c × what a margin lacks, minimised by Adam for several c.

    Carlini and Wagner 2017, "Towards Evaluating the Robustness of Neural Networks", arXiv 1608.04644, section VI.A,
    loss f6. Each image has its own c, and leaves a search when its loss has settled; the nearest point of all searches
    and steps is kept. An image that is not fooled comes back unchanged.

    Args:
        confidence: margin between the scores that counts as fooled, κ of the paper.
        steps: of Adam in a search, at most.
        learning_rate: of Adam.
        searches: constants that are tried for each image.
        initial_c: the first constant; ten times as much as long as nothing succeeds, then bisection.
        guard: pixels start inside the range by this share of half of it. With very small values pixels at exactly 0 or
            1 hardly move, since the slope of tanh vanishes there.
    """

    starts_clean = False

    def __init__(
        self,
        confidence: float = 0.0,
        steps: int = 1000,
        learning_rate: float = 0.01,
        searches: int = 9,
        initial_c: float = 1e-3,
        guard: float = 1 / 512,
    ) -> None:
        check_at_least(self, 0, confidence=confidence)
        check_at_least(self, 1, steps=steps, searches=searches)
        check_above(self, 0, learning_rate=learning_rate, initial_c=initial_c, guard=guard)
        self.confidence, self.steps, self.learning_rate = confidence, steps, learning_rate
        self.searches, self.initial_c, self.guard = searches, initial_c, guard

    def depart(self, case: Case, scores: Tensor) -> Case:
        return case

    def minimise(self, victim: Victim, case: Case, c: Tensor, found: Found) -> Tensor:
        state, succeeded = self._start(case, c), torch.zeros_like(c, dtype=torch.bool)
        for step in range(self.steps):
            points = (state.w.tanh() + 1) / 2
            trace = victim.trace(points, case.owners)
            delta = points - case.images
            distance, lack = delta.flatten(1).square().sum(1), self._lack(case.goal, trace).detach()
            succeeded[state.places] |= self.offer(case, points, distance, trace.scores, found)
            state.loss += distance + state.c * lack.clamp(min=0)
            if (step + 1) % max(LEAST, self.steps // CHECKS) == 0:
                falling = places(state.loss < SETTLED * state.before)
                state.before, state.loss = state.loss, torch.zeros_like(state.loss)
                if not len(falling):
                    break
                trace = trace.keep(falling)
                case, state, points, delta, lack = narrow(falling, case, state, points, delta, lack)
            slope = 2 * delta
            self._add_lack(slope, case, state, lack, trace)
            state.w += state.adam.update(slope * 2 * points * (1 - points), step + 1, self.learning_rate)
            found.count_step(case.owners)
        return succeeded

    def _start(self, case: Case, c: Tensor) -> Descent:
        w = ((2 * case.images - 1) * (1 - self.guard)).atanh()
        begun = torch.arange(len(c), device=c.device)
        return Descent(w, Adam.at_rest(w), c, torch.zeros_like(c), torch.full_like(c, torch.inf), begun)

    def _lack(self, goal: Goal, trace: Trace) -> Tensor:
        """What the margin of each image lacks, (n,)."""
        return self.confidence - goal.margin(trace.scores)

    def _add_lack(self, slope: Tensor, case: Case, state: Descent, lack: Tensor, trace: Trace) -> None:
        """Complete the gradient of the loss in pixels; where the margin lacks nothing, no pass is spent on it."""
        lacking = places(lack >= 0)
        if len(lacking):
            trace = trace.keep(lacking)
            gradient = trace.gradient(self._lack(case.goal[lacking], trace))
            slope[lacking] += column(state.c[lacking], slope) * gradient
