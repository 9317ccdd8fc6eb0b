"""One perturbation for all images, and for several networks, made of DeepFool's moves."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.boxes import NoBox
from attacks.crafting import Crafting, UniversalAttack, Visit
from attacks.deepfool import DeepFool
from attacks.norms import Norm, NormName
from attacks.panel import Panel
from attacks.projections import Projection
from attacks.schedules import Schedule
from options import check_at_least


class UniversalPerturbation(UniversalAttack):
    """One small perturbation that changes the predictions of most images, crafted on one network or on several.

    For each image, in a new order in every pass, and each scheduled network: if the prediction is not changed yet, then
    v ← project(v + DeepFool(x + v)). Moosavi-Dezfooli et al. 2017, arXiv 1610.08401, algorithm 1; for several networks
    Kühne and Tödtli, "Combining Universal Adversarial Perturbations", algorithms 1 and 2. Many images are tested ahead
    in one forward pass, up to the first that is not fooled, which changes no result but by rounding.

    Args:
        schedule: ``Single``, ``EveryNetwork`` (default) or ``Alternate``.
        norm: of the budget, ``linf`` or ``l2``, or an object.
        radius: the budget ξ, in pixels scaled to [0, 1]. None is 10/255 in ``linf``; in ``l2`` one has to be given, as
            2000/255 for images of 224x224 in the paper, which is as much per pixel as 1.1 for 32x32.
        passes: over the images, at most.
        fooling_rate: stop after a pass with at least this mean over networks, 1 − δ; above 1 for all passes.
        attack: one image's attack; its box also says whether x + v is cut to [0, 1] when it is tested. By default ten
            steps of L2 DeepFool without a box, as in the published code.
        projection: ``Nearest`` (default) or ``PrintedFormula``.
        skip_unconverged: leave out a move that took all steps but one, or more, as the published code does. An image
            that is not fooled at all moves nothing either way.
        micro_batch: images attacked from one and the same perturbation, whose moves are added up. Above 1 the result is
            no longer that of the algorithm, for fewer and larger batches.
        batch_size: images that are tested ahead at most.
        seed: of the order of images; None follows ``seed_everything``.
    """

    def __init__(
        self,
        schedule: Schedule | None = None,
        norm: Norm | NormName = "linf",
        radius: float | None = None,
        passes: int = 20,
        fooling_rate: float = 0.8,
        attack: DeepFool | None = None,
        projection: Projection | None = None,
        skip_unconverged: bool = True,
        micro_batch: int = 1,
        batch_size: int = 64,
        seed: int | None = None,
    ) -> None:
        self.attack = attack or DeepFool(steps=10, min_step=0, box=NoBox())
        box = self.attack.box
        super().__init__(schedule, norm, radius, passes, fooling_rate, box, projection, batch_size, seed)
        self.skip_unconverged, self.micro_batch = skip_unconverged, micro_batch
        check_at_least(self, 1, micro_batch=micro_batch)

    def begin(self, jury: Panel) -> "Walking":
        return Walking(self, jury)


class Walking(Crafting):
    """From one image that is not fooled to the next.

    Args:
        settings: how.
        jury: for whom.
    """

    def __init__(self, settings: UniversalPerturbation, jury: Panel) -> None:
        super().__init__(jury, settings.norm, settings.radius, settings.projection)
        self.settings = settings

    def visit(self, visits: Sequence[Visit]) -> None:
        """Go through visits in order, from one that is not fooled to the next.

        As many are tested ahead as lay between the last two, and twice as many where all were fooled.
        """
        most, ahead, start = self.settings.micro_batch, 1, 0
        while start < len(visits):
            window = visits[start : start + max(ahead, most)]
            left = [place for place, fooled in enumerate(self._fooled(window)) if not fooled][:most]
            if left:
                self._update([window[place] for place in left])
            reached = left[-1] + 1 if len(left) == most else len(window)
            ahead = reached if left else min(2 * len(window), self.settings.batch_size)
            start += reached

    def _fooled(self, visits: Sequence[Visit]) -> list[bool]:
        """Of each visit, with one forward pass per network."""
        answers = torch.zeros(len(visits), dtype=torch.bool, device=self.jury.images.device)
        for network, places, index in self.by_network(visits):
            answers[places] = self.jury.fooled(network, index, self.perturbation)
        return [bool(answer) for answer in answers.tolist()]

    def _update(self, visits: Sequence[Visit]) -> None:
        """Add the moves of images that are not fooled, and project."""
        taken = torch.cat([self._moves(network, index) for network, _, index in self.by_network(visits)])
        if len(taken):
            self.move(taken.sum(0))

    def _moves(self, network: int, index: Tensor) -> Tensor:
        """What DeepFool adds to the images of this index (n,) to fool a network; (m, C, H, W) of those that count."""
        attack, victim = self.settings.attack, self.jury.victims[network]
        points = self.jury.perturbed(index, self.perturbation)
        result = attack(victim.model, points.to(victim.dtype), self.jury.clean[network][index])
        victim.forward_passes.index_add_(0, index, result.forward_passes)
        victim.backward_passes.index_add_(0, index, result.backward_passes)
        counts = result.success
        if self.settings.skip_unconverged:
            counts = counts & (result.steps < attack.steps - 1)
        return (result.images.to(points) - points)[counts]
