"""The skeleton of minimum-norm attacks that minimise squared distance + c × loss, with a c for each image."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from attacks.attack import Attack, Case, Found
from attacks.draws import Draws
from attacks.rows import Rows, places
from attacks.victim import Trace, Victim


@dataclass
class Bracket(Rows):
    """Where the smallest constant lies with which an image is fooled.

    Attributes:
        c: the constant to try next, (n,).
        lower: the largest that failed, 0 at first.
        upper: the smallest that succeeded, infinite at first.
    """

    c: Tensor
    lower: Tensor
    upper: Tensor

    def narrower(self, succeeded: Tensor) -> "Bracket":
        """Bisect it, or try ten times as much as long as nothing has succeeded."""
        lower = torch.where(succeeded, self.lower, self.c)
        upper = torch.where(succeeded, self.c, self.upper)
        return Bracket(torch.where(upper.isfinite(), (lower + upper) / 2, 10 * self.c), lower, upper)


C = TypeVar("C", bound=Case)


class PenaltySearch(Attack, Generic[C]):
    """Minimises squared distance + c × loss for several c; the nearest point that was ever met is kept.

    A larger c weighs fooling more and distance less, so the smallest that succeeds is bracketed and bisected, for each
    image on its own. An image that is not fooled comes back unchanged.

    Attributes:
        initial_c: the first constant.
        searches: how many are tried.
        confidence: by how much the scores must say it for a point to count.
    """

    initial_c: float
    searches: int
    confidence: float = 0.0

    @abstractmethod
    def minimise(self, victim: Victim, case: C, c: Tensor, found: Found) -> Tensor:
        """Offer what is met on the way to a minimum; gives whether anything was good enough, (n,).

        Args:
            victim: the model.
            case: images of which none has left yet.
            c: the constant of each, (n,).
            found: where points are offered.
        """

    @abstractmethod
    def depart(self, case: Case, scores: Tensor) -> C:
        """Who is searched for: the images themselves, or each with several aims.

        Args:
            case: images that are not fooled yet.
            scores: of the clean images, (n, num_classes).
        """

    def search(self, case: Case, first: Trace, found: Found, draws: Draws | None) -> None:
        pending = places(~case.goal.reached(first.scores))
        searched = self.depart(case[pending], first.scores.detach()[pending])
        zeros = searched.images.new_zeros(len(searched.owners))
        bracket = Bracket(zeros + self.initial_c, zeros, zeros + torch.inf)
        for _ in range(self.searches if len(zeros) else 0):
            bracket = bracket.narrower(self.minimise(first.victim, searched, bracket.c, found))

    def offer(self, case: Case, points: Tensor, distance: Tensor, scores: Tensor, found: Found) -> Tensor:
        """Offer points by their squared distance (n,); gives which of them are good enough, (n,)."""
        scores = scores.detach()
        hit = case.goal.reached(scores) & (case.goal.margin(scores) >= self.confidence)
        found.offer(case.owners, points, torch.where(hit, -distance, -torch.inf), hit)
        return hit
