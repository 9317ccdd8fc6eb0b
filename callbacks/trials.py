"""One attack on the images of a test, and what came of it."""

import time
from dataclasses import dataclass, field

import torch
from lightning import LightningModule
from torch import Tensor

from attacks import AtSize, Attack, KnownPerturbation
from attacks.budgets import smallest_budgets
from attacks.fixed_budget import FixedBudget
from attacks.norms import L2, Norm
from metrics import AdversarialRadius, FoolingRate


@dataclass
class Pictures:
    """Images that were fooled.

    Attributes:
        clean: (n, C, H, W) in [0, 1].
        attacked: (n, C, H, W) in [0, 1].
        before: predictions (n,).
        after: predictions (n,).
    """

    clean: Tensor
    attacked: Tensor
    before: Tensor
    after: Tensor

    def __len__(self) -> int:
        return len(self.before)

    def __add__(self, other: "Pictures") -> "Pictures":
        return Pictures(*(torch.cat(pair) for pair in zip(vars(self).values(), vars(other).values(), strict=True)))

    def of(self, rows: Tensor) -> "Pictures":
        """Some of them, by a mask or by index."""
        return Pictures(*(part[rows] for part in vars(self).values()))

    def first(self, count: int) -> "Pictures":
        """So many of them, copied to the CPU."""
        return Pictures(*(part[:count].cpu().clone() for part in vars(self).values()))


def kept(found: Pictures | None, seen: Pictures, fooled: Tensor, samples: int) -> Pictures | None:
    """The first so many pictures that were fooled, of those found before and those of another batch."""
    wanted = samples - (len(found) if found else 0)
    if wanted <= 0:
        return found
    new = seen.of(fooled).first(wanted)
    return new if found is None else found + new


@dataclass
class Trial:
    """An attack, tried on batch after batch.

    Attributes:
        name: of the attack, in metrics and in the report.
        attack: itself.
        budgets: at which an attack with a fixed budget is tried, too, rising.
        samples: how many pictures are kept.
        rate: how often it fooled.
        radius: the smallest budget that did; nothing is known of it for a fixed budget without ``budgets``.
        pictures: of the first fooled images.
        costs: images, forward passes, backward passes and seconds, summed up.
    """

    name: str
    attack: Attack
    budgets: list[float] = field(default_factory=list)
    samples: int = 0
    rate: FoolingRate = field(default_factory=FoolingRate)
    radius: AdversarialRadius = field(default_factory=AdversarialRadius)
    pictures: Pictures | None = None
    costs: Tensor = field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))

    @property
    def has_radius(self) -> bool:
        """Whether the smallest budget is looked for, rather than given by the size of the attack's perturbations."""
        if isinstance(self.attack, (AtSize, KnownPerturbation)):
            return False
        return bool(self.budgets) or not isinstance(self.attack, FixedBudget)

    def run(self, model: LightningModule, images: Tensor, labels: Tensor, before: Tensor) -> None:
        """Attack a batch's own predictions (N,), so that what moves them is counted whether they are right or not."""
        started = time.perf_counter()
        result = self.attack(model, images, before)
        passes = [float(result.forward_passes.sum()), float(result.backward_passes.sum())]
        self.costs += torch.tensor([len(images), *passes, time.perf_counter() - started], dtype=torch.float64)
        after = model(result.images).argmax(1)
        self.rate.update(before, after, labels, result.images - images)
        if self.has_radius:
            sizes = self._radii(model, images, before, result.images, result.success)
            self.radius.update(sizes, before == labels)
        self.pictures = kept(
            self.pictures, Pictures(images, result.images, before, after), before != after, self.samples
        )

    def _radii(
        self, model: LightningModule, images: Tensor, before: Tensor, attacked: Tensor, success: Tensor
    ) -> Tensor:
        """The smallest budget of each image (N,), infinite where none was enough."""
        if isinstance(self.attack, FixedBudget):
            return smallest_budgets(self.attack, model, images, before, self.budgets)
        return norm_of_attack(self.attack).size(attacked - images).masked_fill(~success, torch.inf)


def norm_of_attack(attack: Attack) -> Norm:
    """What an attack keeps small; L2 where it does not say."""
    norm = getattr(attack, "norm", None)
    return norm if isinstance(norm, Norm) else L2()


def norm_name(attack: Attack) -> str:
    """An attack's norm as the report writes it: L2, L∞."""
    return type(norm_of_attack(attack)).__name__.replace("Linf", "L∞")
