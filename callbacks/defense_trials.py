"""One attack on the recognised images of a test, and what several defences make of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from attacks import Attack
from callbacks.adversarial_cache import Crafted
from callbacks.trials import Pictures, kept
from defenses import Defended, Defense, vote
from metrics import DestructionRate, PerturbationSize

Craft = Callable[[Attack, Tensor, Tensor], Crafted]  # from an attack, images and labels

READINGS = ("", "ensemble_")  # a single run of a defence, and several that vote
ATTACKER = 2**20  # the attacker's own draws begin here: it knows the defence, but not the numbers that will be drawn


class Bench:
    """Defences side by side behind one classifier, with the time that each takes.

    Args:
        model: from images to class scores.
        defenses: by name.
        ensemble: runs of a random defence that vote.
    """

    def __init__(self, model: nn.Module, defenses: Mapping[str, Defense], ensemble: int) -> None:
        self.model, self.defenses, self.ensemble = model, defenses, ensemble
        self.costs = torch.zeros(len(defenses), 2, dtype=torch.float64)  # defended images, seconds

    @property
    def shape(self) -> tuple[int, int]:
        """Of what is read: defences, and one run or several."""
        return len(self.defenses), len(READINGS)

    def predict(self, images: Tensor) -> Tensor:
        """Predictions (defences, 2, N) for images (N, C, H, W)."""
        return torch.stack([self.judge(place, defense, images) for place, defense in enumerate(self.defenses.values())])

    def judge(self, place: int, defense: Defense, images: Tensor) -> Tensor:
        """Predictions (2, N) behind one defence: of its first run, and of the vote."""
        more = range(1, self.ensemble if defense.random else 1)
        with defense.looking_once(images):
            scores = torch.stack([self._first(place, defense, images), *(self.model(defense(images, r)) for r in more)])
        return torch.stack([scores[0].argmax(1), vote(scores).argmax(1)])

    def _first(self, place: int, defense: Defense, images: Tensor) -> Tensor:
        """Class scores (N, num_classes) behind a single run, whose time counts: others share its activation map."""
        finish(images)
        started = time.perf_counter()
        restored: Tensor = defense(images, 0)
        finish(restored)
        self.costs[place] += torch.tensor([len(images), time.perf_counter() - started], dtype=torch.float64)
        scores: Tensor = self.model(restored)
        return scores


def finish(tensor: Tensor) -> None:
    """Wait until a device has computed what it was asked for, so that time is counted where it is spent."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


def begin(metric: DestructionRate | PerturbationSize, device: torch.device) -> None:
    """Put a metric on a device with a first empty batch, since there may be no other: nothing need be recognised."""
    metric.to(device)
    nothing = torch.zeros(0, 1, device=device)
    if isinstance(metric, PerturbationSize):
        metric.update(nothing, nothing)
    else:
        none = nothing.flatten().long()
        metric.update(none, none, none.expand(*metric.restored.shape[:-1], 0), none)


@dataclass
class DefenseTrial:
    """An attack and all defences, on batch after batch.

    Attributes:
        name: of the attack.
        attack: itself.
        bench: the defences.
        samples: how many pictures are kept.
        rate: what the attack does, and each defence against it.
        size: of the perturbations that fooled.
        against: the same for the attack through each defence; empty without an adaptive attacker.
        sizes: of the perturbations of those.
        pictures: of the first fooled images.
        costs: images, forward passes, backward passes and seconds of crafting.
    """

    name: str
    attack: Attack
    bench: Bench
    samples: int = 0
    rate: DestructionRate = field(init=False)
    size: PerturbationSize = field(default_factory=PerturbationSize)
    against: list[DestructionRate] = field(default_factory=list)
    sizes: list[PerturbationSize] = field(default_factory=list)
    pictures: Pictures | None = None
    costs: Tensor = field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))

    def __post_init__(self) -> None:
        self.rate = DestructionRate(self.bench.shape)

    def watch_adaptive(self) -> None:
        """Expect an adaptive attacker."""
        for _ in self.bench.defenses:
            self.against.append(DestructionRate([len(READINGS)]))
            self.sizes.append(PerturbationSize())

    @property
    def metrics(self) -> list[DestructionRate | PerturbationSize]:
        """All of them."""
        return [self.rate, self.size, *self.against, *self.sizes]

    def run(self, images: Tensor, labels: Tensor, craft: Craft, eot: int) -> Tensor:
        """Attack images (N, C, H, W) that are recognised as their labels (N,); gives the attacked images.

        Args:
            images: clean.
            labels: true classes.
            craft: makes adversarial images, or finds them.
            eot: over so many runs of a random defence an adaptive attacker averages.
        """
        model, crafted = self.bench.model, craft(self.attack, images, labels)
        self.costs += torch.cat([torch.tensor([len(images)]), crafted.costs.sum(0)])
        attacked = model(crafted.images).argmax(1)
        self.rate.update(labels, attacked, self.bench.predict(crafted.images), labels)
        fooled = attacked != labels
        self.size.update(images[fooled], crafted.images[fooled])
        self.pictures = kept(self.pictures, Pictures(images, crafted.images, labels, attacked), fooled, self.samples)
        for place, (rate, size) in enumerate(zip(self.against, self.sizes)):
            defense = list(self.bench.defenses.values())[place]
            adapted = adapt(self.attack, model, defense, images, labels, crafted.images, eot)
            rate.update(labels, attacked, self.bench.judge(place, defense, adapted), labels)
            size.update(images, adapted)
        return crafted.images


def adapt(
    attack: Attack, model: nn.Module, defense: Defense, images: Tensor, labels: Tensor, attacked: Tensor, eot: int
) -> Tensor:
    """Images attacked by somebody who knows the defence, but not the random numbers that it will draw.

    The attack runs through the defence with the gradient that this has built in, averaged over its randomness
    (Athalye et al. 2018, arXiv 1802.00420). Of the result and the image ``attacked`` without that knowledge, the
    attacker hands in the one that the defended classifier, as far as the attacker can see, is less sure about.
    """
    known = Defended(model, defense, votes=eot, run=ATTACKER)
    candidates = torch.stack([attacked, attack(known, images, labels).images])  # (2, N, C, H, W)
    margins = torch.stack([lead(known(each), labels) for each in candidates])  # (2, N)
    chosen = margins.argmin(0)
    return candidates[chosen, torch.arange(len(images), device=images.device)]


def lead(scores: Tensor, labels: Tensor) -> Tensor:
    """By how much the score of the true class exceeds the highest of the others, (N,)."""
    own = scores.gather(1, labels.unsqueeze(1)).squeeze(1)
    return own - scores.scatter(1, labels.unsqueeze(1), -torch.inf).amax(1)
