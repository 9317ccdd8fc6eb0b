"""The skeleton of minimum-norm attacks that walk away from the clean image until it is fooled."""

from abc import abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor

from attacks.attack import Attack, Case, Found
from attacks.draws import Draws
from attacks.norms import Norm
from attacks.rows import Rows, narrow, places
from attacks.victim import Trace

Memory = TypeVar("Memory", bound=Rows)


class Walk(Attack, Generic[Memory]):
    """Steps from the clean image until it is fooled; one that is not fooled comes back unchanged.

    Attributes:
        norm: in which the nearest of several points of an image is chosen.
    """

    norm: Norm

    @abstractmethod
    def depart(self, case: Case, scores: Tensor) -> tuple[Case, Memory]:
        """Who walks, several for an image perhaps, and what each remembers on the way.

        Args:
            case: images that are not fooled yet.
            scores: of the clean images, (n, num_classes).
        """

    @abstractmethod
    def longest(self, case: Case) -> int:
        """How many steps there are at most."""

    @abstractmethod
    def gradients(self, memory: Memory) -> int:
        """How many gradients a step takes."""

    @abstractmethod
    def step(self, case: Case, memory: Memory, points: Tensor, trace: Trace) -> tuple[Tensor, Tensor]:
        """The next points (n, ...), and which of them (n,) have moved: who has not gives up.

        Args:
            case: who walks.
            memory: what each remembers; brought up to date in place.
            points: where each is, (n, ...).
            trace: the scores there.
        """

    def search(self, case: Case, first: Trace, found: Found, draws: Draws | None) -> None:
        pending = places(~case.goal.reached(first.scores))
        case, memory = self.depart(case[pending], first.scores.detach()[pending])
        trace = first.keep(pending, self.gradients(memory)) if self.starts_clean else None
        points = case.images
        for step in range(self.longest(case) + 1):
            if not len(points):
                return
            trace = trace or first.victim.trace(points, case.owners)
            self._offer(case, points, trace.scores, found)
            walking = places(~found.reached[case.owners])
            if step == self.longest(case) or not len(walking):
                return
            trace = trace.keep(walking, self.gradients(memory))
            case, memory, points = narrow(walking, case, memory, points)
            points, moved = self.step(case, memory, points, trace)
            case, memory, points = narrow(places(moved), case, memory, points)
            found.count_step(case.owners)
            trace = None

    def _offer(self, case: Case, points: Tensor, scores: Tensor, found: Found) -> None:
        """Of several points of one image the nearest is kept."""
        reached = case.goal.reached(scores)
        size = self.norm.size(points - case.images)
        found.offer(case.owners, points, torch.where(reached, -size, -torch.inf), reached)
