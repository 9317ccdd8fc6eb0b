"""A network that defends its input."""

from typing import Any

from torch import Tensor, nn

from defenses.defense import Defense
from defenses.vote import Vote


class Defended(nn.Module):
    """A network behind a defence: ``forward(images)`` gives class scores of the defended images.

    Activation maps of the defence are made by this very network; one defence may serve several. With one run,
    ``head(features(images))`` is the forward pass; ``features`` are always those of the first run. The gradient of an
    attack runs through the defence.

    Args:
        network: from images in [0, 1] to class scores (N, num_classes), with its weights.
        defense: changes the images before the network sees them.
        votes: runs of a random defence that vote; the thesis's ensemble has ten.
        run: another number gives the defence other random draws.
        classifier: makes the activation maps instead of the network, where that gives no class scores.
    """

    def __init__(
        self, network: nn.Module, defense: Defense, votes: int = 1, run: int = 0, classifier: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.network, self.vote, self.run = network, Vote(defense, votes), run
        self._eyes = (looking(network if classifier is None else classifier),)  # in a tuple, which registers nothing
        self._attach()

    @property
    def defense(self) -> Defense:
        """What changes the images."""
        return self.vote.defense

    def extra_repr(self) -> str:
        return f"votes={self.vote.runs}, run={self.run}"

    def forward(self, images: Tensor) -> Tensor:
        self._attach()
        scores: Tensor = self.vote(self.network, images, self.run)
        return scores

    def features(self, images: Tensor) -> Tensor:
        """The last convolutional map (N, K, h, w) of the defended images."""
        part: Any = looking(self.network)
        self._attach()
        features: Tensor = part.features(self.defense(images, self.run * self.vote.runs))
        return features

    def head(self, features: Tensor) -> Tensor:
        """From the last convolutional map (N, K, h, w) to class scores."""
        part: Any = looking(self.network)
        scores: Tensor = part.head(features)
        return scores

    def _attach(self) -> None:
        self.defense.attach(self._eyes[0])


class Looking(nn.Module):
    """The two halves of a classifier whose network gives something else than class scores, such as embeddings.

    Args:
        network: with ``features`` and ``head``.
        readout: from what the head gives to class scores.
    """

    def __init__(self, network: Any, readout: nn.Module) -> None:
        super().__init__()
        self.network, self.readout = network, readout

    def features(self, images: Tensor) -> Tensor:
        """The last convolutional map (N, K, h, w)."""
        features: Tensor = self.network.features(images)
        return features

    def head(self, features: Tensor) -> Tensor:
        """From the last convolutional map (N, K, h, w) to class scores."""
        scores: Tensor = self.readout(self.network.head(features))
        return scores


def looking(classifier: nn.Module) -> nn.Module:
    """The part of a classifier that has feature maps: itself, or its ``network`` followed by its ``readout``."""
    inner = getattr(classifier, "network", None)
    if hasattr(classifier, "features") or not isinstance(inner, nn.Module):
        return classifier
    readout = getattr(classifier, "readout", None)
    plain = not isinstance(readout, nn.Module) or isinstance(readout, nn.Identity)
    halves = hasattr(inner, "features") and hasattr(inner, "head")
    return inner if plain or not halves else Looking(inner, readout)  # type: ignore[arg-type]
