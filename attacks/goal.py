"""What an adversary wants: any other class, or one class."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.rows import Rows


@dataclass
class Goal(Rows, ABC):
    """What the scores of an image should say; ties between classes go to the lowest index.

    Attributes:
        labels: the class (N,) to leave or to reach.
    """

    labels: Tensor

    @abstractmethod
    def reached(self, scores: Tensor) -> Tensor:
        """Whether scores (N, num_classes) say it, (N,)."""

    @abstractmethod
    def margin(self, scores: Tensor) -> Tensor:
        """By how much they say it, (N,); negative where they don't."""

    @abstractmethod
    def loss(self, scores: Tensor) -> Tensor:
        """Cross-entropy (N,) with the sign that makes it rise towards the goal."""

    @abstractmethod
    def contenders(self, scores: Tensor, candidates: int) -> Tensor:
        """Classes (N, k) worth trying, the likeliest first; the label counts as one of so many candidates."""

    @abstractmethod
    def lead(self, scores: Tensor, contender: Tensor) -> Tensor:
        """How far a contender (N,) is ahead of what it has to beat, (N,)."""


class Untargeted(Goal):
    """Any class but the label."""

    def reached(self, scores: Tensor) -> Tensor:
        return scores.argmax(1) != self.labels

    def margin(self, scores: Tensor) -> Tensor:
        return best_other(scores, self.labels) - score_of(scores, self.labels)

    def loss(self, scores: Tensor) -> Tensor:
        return F.cross_entropy(scores, self.labels, reduction="none")

    def contenders(self, scores: Tensor, candidates: int) -> Tensor:
        return _without(scores, self.labels).topk(min(candidates, scores.shape[1]) - 1).indices

    def lead(self, scores: Tensor, contender: Tensor) -> Tensor:
        return score_of(scores, contender) - score_of(scores, self.labels)


class Targeted(Goal):
    """The label and no other class."""

    def reached(self, scores: Tensor) -> Tensor:
        return scores.argmax(1) == self.labels

    def margin(self, scores: Tensor) -> Tensor:
        return score_of(scores, self.labels) - best_other(scores, self.labels)

    def loss(self, scores: Tensor) -> Tensor:
        return -F.cross_entropy(scores, self.labels, reduction="none")

    def contenders(self, scores: Tensor, candidates: int) -> Tensor:
        return self.labels.unsqueeze(1)

    def lead(self, scores: Tensor, contender: Tensor) -> Tensor:
        return self.margin(scores)


def score_of(scores: Tensor, classes: Tensor) -> Tensor:
    """The score of one class per image, (N,)."""
    return scores.gather(1, classes.unsqueeze(1)).squeeze(1)


def best_other(scores: Tensor, classes: Tensor) -> Tensor:
    """The highest score of any class but one, (N,)."""
    return _without(scores, classes).amax(1)


def _without(scores: Tensor, classes: Tensor) -> Tensor:
    """Scores with one class per image at minus infinity: zero would win where all scores are negative."""
    return scores.scatter(1, classes.unsqueeze(1), -torch.inf)
