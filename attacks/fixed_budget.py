"""The skeleton of attacks with a fixed budget: climb the loss inside a ball round the clean image."""

import copy
from typing import Self

import torch
from torch import Generator, Tensor

from attacks.attack import Attack, Case, Found, Model, goal_of, in_range
from attacks.attackable import attackable
from attacks.checks import check_classes, check_images, check_pixels, check_scores
from attacks.draws import Draws, draws_of
from attacks.norms import Norm, NormName, norm_of
from attacks.rows import narrow, places
from attacks.stops import Stop, StopName, stop_of
from attacks.victim import Trace, Victim
from options import check_at_least


class FixedBudget(Attack):
    """Climbs the cross-entropy in steps of the norm's steepest direction, inside the ball and the pixel range.

    Each step projects into the ball first and then into [0, 1]. An image that is not fooled comes back as the point it
    reached, since training needs it; of several restarts, as the point where the model is least sure.

    Args:
        norm: of the budget, ``linf`` or ``l2``, or an object.
        eps: radius of the ball, in pixels scaled to [0, 1].
        step: length of a step, in the same unit.
        steps: at most so many.
        random_start: start at a point drawn uniformly from the ball, instead of the clean image.
        restarts: so many starts for an image that is not fooled; above 1 with a random start only.
        stop: ``success`` leaves an image alone once it is fooled, ``never`` does not; or an object.
    """

    def __init__(
        self,
        norm: Norm | NormName,
        eps: float,
        step: float,
        steps: int,
        random_start: bool,
        restarts: int,
        stop: Stop | StopName,
    ) -> None:
        self.norm, self.stop = norm_of(norm), stop_of(stop)
        self.eps, self.step, self.steps = eps, step, steps
        self.random, self.starts_clean, self.restarts = random_start, not random_start, restarts
        self._check_budget()
        check_at_least(self, 1, steps=steps, restarts=restarts)
        if restarts > 1 and not random_start:
            raise ValueError(
                f"{type(self).__name__}: restarts={restarts} would repeat one path from the clean image: "
                "set random_start to true, or restarts to 1"
            )

    def at(self, eps: float) -> Self:
        """The same attack with another budget, for a warm-up or a curve; its step changes in proportion."""
        other = copy.copy(self)
        other.eps = eps
        other.step = self.step * eps / self.eps if self.eps else self.step
        other._check_budget()
        return other

    def perturb(
        self,
        model: Model,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        targets: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """The attacked images alone, without looking whether they fool the model: for training.

        With labels and one start this takes ``steps`` forward and backward passes and no other. Values are checked on
        the CPU only, where that does not make a device wait. See ``__call__`` for the arguments.
        """
        check_images(images)
        if self.restarts > 1 or not len(images):
            return self(model, images, labels, targets=targets, generator=generator).images
        with attackable(model, images, labels, targets) as (images, labels, targets):
            victim, found, clean = Victim(model, images), Found(images), in_range(images)
            owners = torch.arange(len(images), device=images.device)
            points = self._start(clean, draws_of(images, generator) if self.random else None, restart=0)
            trace = victim.trace(points, owners)
            if images.is_cpu:
                check_pixels(images)
                check_scores(trace.scores)
                check_classes(labels, targets, trace.scores)
            own = labels is None and targets is None and not self.starts_clean
            goal = goal_of(victim.look(clean, owners) if own else trace.scores, labels, targets)
            case, points = self._climb(victim, Case(clean, goal, owners), points, trace, found)
            found.images[case.owners] = points.to(images.dtype)
        return found.images

    def search(self, case: Case, first: Trace, found: Found, draws: Draws | None) -> None:
        trace = first if self.starts_clean else None
        spared = self.stop.finished(case.goal, first.scores)
        if spared is not None:
            left = places(~spared)
            case, trace = case[left], trace.keep(left) if trace else None
        for restart in range(self.restarts):
            if len(case.owners):
                points = self._start(case.images, None if draws is None else draws[case.owners], restart)
                case, points = self._climb(first.victim, case, points, trace, found)
            if not len(case.owners):
                return
            scores = first.victim.look(points, case.owners)
            self._offer(case, points, scores, found)
            finished = self.stop.finished(case.goal, scores)
            case = case if finished is None else case[places(~finished)]

    def _check_budget(self) -> None:
        check_at_least(self, 0, eps=self.eps, step=self.step)
        if self.eps > self.norm.largest:
            raise ValueError(
                f"{type(self).__name__}: eps={self.eps} is more than the whole range of pixels, which is scaled to "
                f"[0, 1]: write {self.eps:g}/255 as {self.eps / 255:.4g}"
            )

    def _start(self, clean: Tensor, draws: Draws | None, restart: int) -> Tensor:
        """Where the steps begin."""
        if draws is None:
            return clean
        return (clean + self.eps * self.norm.sample(draws, clean, restart)).clamp(0, 1)

    def _climb(
        self, victim: Victim, case: Case, points: Tensor, trace: Trace | None, found: Found
    ) -> tuple[Case, Tensor]:
        """All steps from these points, of which the first trace may exist; gives the images that were not stopped."""
        for _ in range(self.steps):
            trace = trace or victim.trace(points, case.owners)
            finished = self.stop.finished(case.goal, trace.scores)
            if finished is not None:
                self._offer(case, points, trace.scores, found, finished)
                left = places(~finished)
                case, points, trace = *narrow(left, case, points), trace.keep(left)
            if not len(points):
                break
            gradient = trace.gradient(case.goal.loss(trace.scores))
            points, trace = self._advance(points, gradient, case.images), None
            found.count_step(case.owners)
        return case, points

    def _advance(self, points: Tensor, gradient: Tensor, clean: Tensor) -> Tensor:
        """One step, projected into the ball and then into the pixel range."""
        delta = points + self.step * self.norm.steepest(gradient) - clean
        return (clean + self.norm.project(delta, self.eps)).clamp(0, 1)

    def _offer(self, case: Case, points: Tensor, scores: Tensor, found: Found, those: Tensor | None = None) -> None:
        """Of several restarts the point with the highest margin is kept; only those (n,), if a mask is given."""
        margin = case.goal.margin(scores)
        margin = margin if those is None else margin.masked_fill(~those, -torch.inf)
        found.offer(case.owners, points, margin, case.goal.reached(scores))
