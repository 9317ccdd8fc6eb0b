"""What an attack is (contract 4 of the design)."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attacks.attackable import attackable
from attacks.checks import check_classes, check_images, check_pixels, check_scores
from attacks.draws import Draws, draws_of
from attacks.goal import Goal, Targeted, Untargeted
from attacks.rows import Rows
from attacks.victim import Trace, Victim

Model = Callable[[Tensor], Tensor]  # from images (N, C, H, W) in [0, 1] to class scores (N, num_classes)


@dataclass(frozen=True)
class AttackResult:
    """What an attack made of a batch of N images.

    Attributes:
        images: (N, C, H, W) in [0, 1].
        success: (N,) whether the prediction moved as wanted, from the clean image to the one returned.
        already: (N,) whether it stood there before: the label was wrong, or the target predicted. Never a success.
        steps: (N,) updates of the image until the attack ended, over all restarts and searches.
        forward_passes: (N,) forward passes of the model that were spent on the image.
        backward_passes: (N,) likewise; these two alone depend on the batch, since a finished image may be dragged along
            where that is cheaper than to run the others once more.
    """

    images: Tensor
    success: Tensor
    already: Tensor
    steps: Tensor
    forward_passes: Tensor
    backward_passes: Tensor


@dataclass
class Case(Rows):
    """Images that are still attacked.

    Attributes:
        images: (n, C, H, W), clean.
        goal: what is wanted of each.
        owners: (n,) the image of the batch that each stands for.
    """

    images: Tensor
    goal: Goal
    owners: Tensor


class Found:
    """The best point so far for every image of a batch; at first the clean image (N, C, H, W)."""

    def __init__(self, images: Tensor) -> None:
        # One row more than images: what is refused goes there, so that no device is asked what is taken.
        self._images = torch.cat([images, images.new_zeros(1, *images.shape[1:])])
        self._reached = torch.zeros(len(images) + 1, dtype=torch.bool, device=images.device)
        self.images, self.reached = self._images[:-1], self._reached[:-1]
        # Not in the default type, which a trainer may have set to half precision: there, more points would be equal.
        self.values = torch.full((len(images),), -torch.inf, dtype=torch.float32, device=images.device)
        self.steps = torch.zeros(len(images), dtype=torch.long, device=images.device)

    def offer(self, owners: Tensor, points: Tensor, values: Tensor, reached: Tensor) -> None:
        """Take the points (n, ...) whose value (n,) is above what their owner has.

        Args:
            owners: (n,) the image of each; of several points of one image the best counts, and of equals the last.
            points: (n, ...).
            values: (n,) higher is better; minus infinity is never taken.
            reached: (n,) whether the goal is.
        """
        values = values.detach().to(self.values.dtype)
        best = self.values.scatter_reduce(0, owners, values, "amax")
        better = (values > self.values[owners]) & (values == best[owners])
        rows = torch.where(_last(better, owners, len(best)), owners, len(best))
        self._images[rows] = points.to(self._images.dtype)
        self._reached[rows] = reached
        self.values = best

    def count_step(self, owners: Tensor) -> None:
        """One more update of these images; several points of one image that move together count once."""
        self.steps[owners] = self.steps[owners] + 1


def _last(wanted: Tensor, owners: Tensor, count: int) -> Tensor:
    """Of the wanted rows (n,) of each owner (n,) the last, as a mask: a row written twice would hold parts of both."""
    places = torch.where(wanted, torch.arange(len(owners), device=owners.device), -1)
    last = torch.full((count,), -1, device=owners.device).scatter_reduce(0, owners, places, "amax")
    return wanted & (places == last[owners])


class Attack(ABC):
    """Changes images so that a model's prediction moves.

    An attack is configured once and then called like a function. It never depends on the neighbours of an image.

    Attributes:
        starts_clean: whether the first gradient is taken at the clean image.
        bounded: whether images must lie in [0, 1].
        random: whether random numbers are drawn, so that another seed gives another result.
    """

    starts_clean = True
    bounded = True
    random = False

    def __call__(
        self,
        model: Model,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        targets: Tensor | None = None,
        generator: Generator | None = None,
    ) -> AttackResult:
        """Attack a batch.

        Args:
            model: from images in [0, 1] to class scores (N, num_classes), logits rather than probabilities.
            images: (N, C, H, W) in [0, 1].
            labels: the true classes (N,); the model's own predictions where None.
            targets: the classes (N,) to reach; any class but the label where None.
            generator: of the CPU, for new random draws in every call. Without it the draws follow from the seed of
                ``seed_everything`` and the image alone; no global random state changes either way.
        """
        check_images(images)
        if self.bounded:
            check_pixels(images)
        with attackable(model, images, labels, targets) as (images, labels, targets):
            victim, found = Victim(model, images), Found(images)
            already = torch.zeros_like(found.reached)
            if len(images):
                case, first = self._open(victim, images, labels, targets)
                already = case.goal.reached(first.scores.detach())
                self.search(case, first, found, draws_of(images, generator) if self.random else None)
        success = found.reached & ~already
        return AttackResult(found.images, success, already, found.steps, victim.forward_passes, victim.backward_passes)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"

    @abstractmethod
    def search(self, case: Case, first: Trace, found: Found, draws: Draws | None) -> None:
        """Offer points.

        Args:
            case: all images.
            first: scores of the clean images; they can be differentiated where the attack starts there.
            found: where points are offered.
            draws: random numbers of each image, if the attack draws any.
        """

    def _open(
        self, victim: Victim, images: Tensor, labels: Tensor | None, targets: Tensor | None
    ) -> tuple[Case, Trace]:
        """The goal, which the clean scores may decide."""
        owners = torch.arange(len(images), device=images.device)
        clean = in_range(images) if self.bounded else exact(images)
        if self.starts_clean:
            first = victim.trace(clean, owners)
        else:
            first = Trace(victim, clean, owners, victim.look(clean, owners))
        check_scores(first.scores)
        check_classes(labels, targets, first.scores)
        return Case(clean, goal_of(first.scores, labels, targets), owners), first


def exact(images: Tensor) -> Tensor:
    """Images as attacks compute with them: at least float32."""
    return images.to(torch.promote_types(images.dtype, torch.float32))


def in_range(images: Tensor) -> Tensor:
    """The same, with float errors beyond [0, 1] cut off."""
    return exact(images).clamp(0, 1)


def goal_of(scores: Tensor, labels: Tensor | None, targets: Tensor | None) -> Goal:
    """Reach the targets, or leave the labels, or leave the prediction."""
    if targets is not None:
        return Targeted(targets.to(scores.device).long())
    return Untargeted(scores.detach().argmax(1) if labels is None else labels.to(scores.device).long())
