"""Class scores of embeddings, read off the embeddings of training images."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from criteria.embeddings import Sphere, full_precision
from criteria.kernels import Kernel
from criteria.neighbors import nearest_neighbors
from modes import evaluating
from options import by_name

WeightsName = Literal["uniform", "kernel"]

SHARPNESS = 10.0  # scores of a unanimous vote of similar neighbours: their softmax is near 1 and not yet flat


class Readout(nn.Module, ABC):
    """From a network's outputs (N, d) to class scores (N, num_classes), by what it remembers of training images.

    A Classifier refreshes the memory at the start of every evaluation; it is no part of the weights. In a notebook::

        readout.remember(network(training_images), training_labels, num_classes=10)
        scores = readout(network(images))

    Args:
        images_in_fit: training images that it remembers in validations during training, which choose the best
            checkpoint; 0 takes all, as tests do.
    """

    def __init__(self, images_in_fit: int = 5000) -> None:
        super().__init__()
        if images_in_fit < 0:
            raise ValueError(f"{type(self).__name__}: images_in_fit={images_in_fit} must be 0 or more")
        self.images_in_fit = images_in_fit
        self.num_classes = 0
        self.kernel = Kernel()
        self.memory: dict[str, Tensor] = {}  # no buffers, which DDP would send round and averages of weights average
        self.consulted = False  # since the memory was last refreshed, or validation ended
        self._embedding: tuple[nn.Module] = (Sphere(),)  # in a tuple, as it is the criterion's part

    @property
    def name(self) -> str:
        """In tables and metrics."""
        return type(self).__name__.lower()

    def match(self, criterion: Any) -> None:
        """Read embeddings as a criterion sees them, with its kernel, where it has them."""
        self._embedding = (getattr(criterion, "embedding", None) or self._embedding[0],)
        self.kernel = getattr(criterion, "kernel", None) or self.kernel

    def embed(self, outputs: Tensor) -> Tensor:
        """Embeddings (N, d) of a network's outputs (N, d), in full precision and as in evaluations."""
        # A look must not move the statistics of a batch normalisation.
        with evaluating(self._embedding[0]), torch.autocast(outputs.device.type, enabled=False):
            embeddings: Tensor = self._embedding[0](outputs)
        return embeddings

    @torch.no_grad()
    def remember(self, outputs: Tensor, labels: Tensor, num_classes: int) -> None:
        """Replace the memory.

        Args:
            outputs: of the network (n, d), for training images as they are, in eval mode.
            labels: class indices (n,).
            num_classes: of the data.
        """
        if not len(labels):
            raise ValueError(f"{type(self).__name__}: there are no training images to remember")
        self.num_classes = num_classes
        self.memory = self.learn(self.embed(outputs), labels)
        self.consulted = False

    @abstractmethod
    def learn(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What is to be remembered of embeddings (n, d) and labels (n,)."""

    @abstractmethod
    def score(self, embeddings: Tensor) -> Tensor:
        """Class scores (N, num_classes) of embeddings (N, d)."""

    def forward(self, outputs: Tensor) -> Tensor:
        if not self.memory:
            raise RuntimeError(
                f"{type(self).__name__} remembers no training images yet: let a Trainer evaluate the model, or call "
                "readout.remember(outputs, labels, num_classes)"
            )
        self.consulted = True
        with torch.autocast(outputs.device.type, enabled=False):
            return self.score(self.embed(outputs))

    @torch.no_grad()
    def score_within(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Scores (N, num_classes) of training images by the others in their own batch, without memory.

        A class counts as much as its images are similar on average.
        """
        with torch.autocast(outputs.device.type, enabled=False):
            embeddings = self.embed(outputs)
            similar = self.kernel.table(embeddings, embeddings).fill_diagonal_(0)
            members = members_of(labels, self.num_classes).to(similar.dtype)
            return similar @ members / (members.sum(0) - members).clamp(min=1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self.memory = {name: fn(tensor) for name, tensor in self.memory.items()}
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]


class Weights(ABC):
    """How much each neighbour's vote counts."""

    @abstractmethod
    def of(self, kernel: Kernel, embeddings: Tensor, neighbors: Tensor) -> Tensor:
        """Weights (N, k) of neighbours (N, k, d) of embeddings (N, d)."""


class Uniform(Weights):
    """Each counts one. Scores are constant around an image, so gradient attacks find no gradient."""

    def of(self, kernel: Kernel, embeddings: Tensor, neighbors: Tensor) -> Tensor:
        return torch.ones(neighbors.shape[:2], dtype=embeddings.dtype, device=embeddings.device)


class ByKernel(Weights):
    """Each counts as much as it is similar, by the criterion's kernel; scores can be differentiated."""

    def of(self, kernel: Kernel, embeddings: Tensor, neighbors: Tensor) -> Tensor:
        return kernel.between(embeddings.unsqueeze(1), neighbors)


class NearestNeighbors(Readout):
    """The vote of the nearest training images; equal votes go to the lowest label.

    The scores of an image are ten times the mean vote of its k neighbours, by class. With ``weights=kernel`` they can
    be differentiated, so the classifier can be attacked like any other.

    Args:
        k: neighbours that vote; of a smaller memory, all. None lets all training images vote, each class with the mean
            of its images: smoother scores, for attacks that shall not end where neighbours agree.
        weights: ``uniform`` or ``kernel``, or an object.
        images_in_fit: see ``Readout``.
    """

    def __init__(
        self, k: int | None = 10, weights: Weights | WeightsName = "kernel", images_in_fit: int = 5000
    ) -> None:
        super().__init__(images_in_fit)
        if k is not None and k < 1:
            raise ValueError(f"NearestNeighbors: k={k} must be 1 or more, or null for all")
        self.k = k
        self.weights = by_name("weights", weights, {"uniform": Uniform, "kernel": ByKernel})
        if k is None and isinstance(self.weights, Uniform):
            raise ValueError("NearestNeighbors: with k=null and uniform weights all images have the same scores")

    @property
    def name(self) -> str:
        return "all" if self.k is None else f"{self.k}-NN"

    def learn(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"embeddings": embeddings, "labels": labels}

    def score(self, embeddings: Tensor) -> Tensor:
        if self.k is None:
            return self._score_by_all(embeddings)
        points, labels = self.memory["embeddings"], self.memory["labels"]
        metric = self.kernel.metric
        found = nearest_neighbors(metric.points(embeddings), metric.points(points), min(self.k, len(points)))
        weights = self.weights.of(self.kernel, embeddings, points[found])
        return vote(weights, labels[found], self.num_classes) * (SHARPNESS / found.shape[1])

    def _score_by_all(self, embeddings: Tensor) -> Tensor:
        similar = self.kernel.table(embeddings, full_precision(self.memory["embeddings"]))  # (N, n)
        members = members_of(self.memory["labels"], self.num_classes).to(similar.dtype)
        return SHARPNESS * similar @ members / members.sum(0).clamp(min=1)


def vote(weights: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Sums (N, num_classes) of weights (N, k) by label (N, k)."""
    return weights.new_zeros(len(weights), num_classes).scatter_add(1, labels, weights)


def members_of(labels: Tensor, num_classes: int) -> Tensor:
    """Which images (n,) are of which class, (n, num_classes); without a look at values, which would hold up a GPU."""
    return labels.unsqueeze(1) == torch.arange(num_classes, device=labels.device)
