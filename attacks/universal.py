"""One perturbation for all images, and for several networks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attacks.attack import Model
from attacks.boxes import NoBox
from attacks.checks import check_above, check_at_least
from attacks.deepfool import DeepFool
from attacks.norms import Norm, NormName, norm_of
from attacks.panel import Panel, panel
from attacks.projections import Nearest, Projection
from attacks.schedules import EveryNetwork, Schedule

Visit = tuple[int, int]  # an image and a network


@dataclass(frozen=True)
class UniversalResult:
    """What came of it.

    Attributes:
        perturbation: (C, H, W) in pixels scaled to [0, 1], to be added to images in [0, 1].
        fooling_rates: (passes, networks) on the images it was crafted on, after each pass.
        updates: how often it changed.
        forward_passes: images that went through a network, all together: the clean ones, the tests and the attack.
        backward_passes: likewise.
    """

    perturbation: Tensor
    fooling_rates: Tensor
    updates: int
    forward_passes: int
    backward_passes: int


class UniversalPerturbation:
    """One small perturbation that changes the predictions of most images, crafted on one network or on several.

    For each image, in a new order in every pass, and each scheduled network: if the prediction is not changed yet, then
    v ← project(v + DeepFool(x + v)). Moosavi-Dezfooli et al. 2017, arXiv 1610.08401, algorithm 1; for several networks
    Kühne and Tödtli, "Combining Universal Adversarial Perturbations", algorithms 1 and 2. Many images are tested ahead
    in one forward pass, up to the first that is not fooled, which changes no result.

    Args:
        schedule: ``Single``, ``EveryNetwork`` (default) or ``Alternate``.
        norm: of the budget, ``linf`` or ``l2``, or an object.
        radius: the budget ξ, in pixels scaled to [0, 1].
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
        seed: of the order of images.
    """

    def __init__(
        self,
        schedule: Schedule | None = None,
        norm: Norm | NormName = "linf",
        radius: float = 10 / 255,
        passes: int = 20,
        fooling_rate: float = 0.8,
        attack: DeepFool | None = None,
        projection: Projection | None = None,
        skip_unconverged: bool = True,
        micro_batch: int = 1,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.schedule, self.norm, self.radius = schedule or EveryNetwork(), norm_of(norm), radius
        self.passes, self.fooling_rate = passes, fooling_rate
        self.attack = attack or DeepFool(steps=10, min_step=0, box=NoBox())
        self.projection, self.skip_unconverged = projection or Nearest(), skip_unconverged
        self.micro_batch, self.batch_size, self.seed = micro_batch, batch_size, seed
        check_at_least(self, 1, passes=passes, micro_batch=micro_batch, batch_size=batch_size)
        check_above(self, 0, radius=radius)

    def __call__(self, networks: Sequence[Model], images: Tensor) -> UniversalResult:
        """Craft a perturbation.

        Args:
            networks: from images in [0, 1] to class scores (N, num_classes), all for images of one size.
            images: (N, C, H, W) in [0, 1].
        """
        self.schedule.check(len(networks))
        with panel(networks, images, self.attack.box, self.batch_size) as jury:
            return self._craft(Crafting(self, jury))

    def _craft(self, crafting: "Crafting") -> UniversalResult:
        order, rates = Generator().manual_seed(self.seed), list[Tensor]()
        for number in range(self.passes):
            crafting.visit(self._visits(number, crafting.jury, order))
            rates.append(crafting.jury.rates(crafting.perturbation))
            if rates[-1].mean() >= self.fooling_rate:
                break
        return crafting.result(torch.stack(rates))

    def _visits(self, number: int, jury: Panel, order: Generator) -> list[Visit]:
        """All of one pass."""
        count, networks = len(jury.images), len(jury.networks)
        shuffled = torch.randperm(count, generator=order).tolist()
        return [
            (image, network)
            for place, image in enumerate(shuffled, number * count)
            for network in self.schedule.turn(place, networks)
        ]


class Crafting:
    """A perturbation that is being made.

    Args:
        settings: how.
        jury: for whom.
    """

    def __init__(self, settings: UniversalPerturbation, jury: Panel) -> None:
        self.settings, self.jury = settings, jury
        self.perturbation = torch.zeros_like(jury.images[0])
        self.updates = 0

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

    def result(self, rates: Tensor) -> UniversalResult:
        forwards, backwards = (
            sum(int(getattr(victim, name).sum()) for victim in self.jury.victims)
            for name in ("forward_passes", "backward_passes")
        )
        return UniversalResult(self.perturbation, rates, self.updates, forwards, backwards)

    def _fooled(self, visits: Sequence[Visit]) -> list[bool]:
        """Of each visit, with one forward pass per network."""
        answers = torch.zeros(len(visits), dtype=torch.bool, device=self.jury.images.device)
        for network, places, index in self._by_network(visits):
            answers[places] = self.jury.fooled(network, index, self.perturbation)
        return [bool(answer) for answer in answers.tolist()]

    def _update(self, visits: Sequence[Visit]) -> None:
        """Add the moves of images that are not fooled, and project."""
        moves = [self._moves(network, index) for network, _, index in self._by_network(visits)]
        taken = torch.cat(moves)
        if len(taken):
            moved = self.perturbation + taken.sum(0)
            self.perturbation = self.settings.projection.project(moved, self.settings.norm, self.settings.radius)
            self.updates += 1

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

    def _by_network(self, visits: Sequence[Visit]) -> list[tuple[int, Tensor, Tensor]]:
        """Each network, with the places of its visits and their images."""
        device = self.jury.images.device
        groups: dict[int, tuple[list[int], list[int]]] = {}
        for place, (image, network) in enumerate(visits):
            places, images = groups.setdefault(network, ([], []))
            places.append(place)
            images.append(image)
        return [
            (network, torch.tensor(places, device=device), torch.tensor(images, device=device))
            for network, (places, images) in groups.items()
        ]
