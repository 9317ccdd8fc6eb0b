"""What all ways to craft a universal perturbation share: visits of images, a budget, passes, counts."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Generator, Tensor

from attacks.attack import Model
from attacks.boxes import Box
from attacks.norms import Linf, Norm, NormName, norm_of
from attacks.panel import Panel, panel
from attacks.projections import Nearest, Projection
from attacks.schedules import EveryNetwork, Schedule
from options import check_above, check_at_least

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


class Crafting(ABC):
    """A perturbation that is being made.

    Args:
        jury: for whom.
        norm: of the budget.
        radius: the budget, in pixels scaled to [0, 1].
        projection: how it is kept within.
    """

    def __init__(self, jury: Panel, norm: Norm, radius: float, projection: Projection) -> None:
        self.jury, self.norm, self.radius, self.projection = jury, norm, radius, projection
        self.perturbation = torch.zeros_like(jury.images[0])
        self.updates = 0

    @abstractmethod
    def visit(self, visits: Sequence[Visit]) -> None:
        """Go through all visits of a pass in order."""

    def move(self, by: Tensor) -> None:
        """Change the perturbation by (C, H, W), and project."""
        self.perturbation = self.projection.project(self.perturbation + by, self.norm, self.radius)
        self.updates += 1

    def by_network(self, visits: Sequence[Visit]) -> list[tuple[int, Tensor, Tensor]]:
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

    def result(self, rates: Tensor) -> UniversalResult:
        """What is there after the last pass."""
        forwards, backwards = (
            sum(int(getattr(victim, name).sum()) for victim in self.jury.victims)
            for name in ("forward_passes", "backward_passes")
        )
        return UniversalResult(self.perturbation, rates, self.updates, forwards, backwards)


class UniversalAttack(ABC):
    """Crafts one small perturbation that changes the predictions of most images.

    Args:
        schedule: which networks an image is tried on; ``EveryNetwork`` by default.
        norm: of the budget, ``linf`` or ``l2``, or an object.
        radius: the budget ξ, in pixels scaled to [0, 1]; None is 10/255 in ``linf``, and refused in other norms.
        passes: over the images, at most.
        fooling_rate: stop after a pass with at least this mean over networks, 1 − δ; above 1 for all passes.
        box: says whether x + v is cut to [0, 1] when it is tested.
        projection: ``Nearest`` by default, or ``PrintedFormula``.
        batch_size: images that are tested together at most.
        seed: of the order of images; None follows ``seed_everything``.
    """

    def __init__(
        self,
        schedule: Schedule | None,
        norm: Norm | NormName,
        radius: float | None,
        passes: int,
        fooling_rate: float,
        box: Box,
        projection: Projection | None,
        batch_size: int,
        seed: int | None,
    ) -> None:
        self.schedule, self.norm = schedule or EveryNetwork(), norm_of(norm)
        self.radius = self._default_radius() if radius is None else radius
        self.passes, self.fooling_rate, self.box = passes, fooling_rate, box
        self.projection, self.batch_size, self.seed = projection or Nearest(), batch_size, seed
        check_at_least(self, 1, passes=passes, batch_size=batch_size)
        check_above(self, 0, radius=self.radius)

    def __call__(self, networks: Sequence[Model], images: Tensor) -> UniversalResult:
        """Craft a perturbation.

        Args:
            networks: from images in [0, 1] to class scores (N, num_classes), all for images of one size.
            images: (N, C, H, W) in [0, 1].
        """
        self.schedule.check(len(networks))
        with panel(networks, images, self.box, self.batch_size) as jury:
            return self._craft(self.begin(jury))

    def under(self, schedule: Schedule) -> Self:
        """The same way to craft with another schedule."""
        other = copy.copy(self)
        other.schedule = schedule
        return other

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"

    @abstractmethod
    def begin(self, jury: Panel) -> Crafting:
        """A perturbation of zeros, ready for the first pass."""

    def _default_radius(self) -> float:
        if isinstance(self.norm, Linf):
            return 10 / 255
        raise ValueError(
            f"{type(self).__name__}: radius=None is 10/255 in linf only, but norm={self.norm}: give a radius in pixels "
            "scaled to [0, 1], in L2 for instance 7.8 for images of 224x224 (2000/255, Moosavi-Dezfooli et al. 2017), "
            "or 1.1 for 32x32"
        )

    def _craft(self, crafting: Crafting) -> UniversalResult:
        order = Generator().manual_seed(torch.initial_seed() if self.seed is None else self.seed)
        rates = list[Tensor]()
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
