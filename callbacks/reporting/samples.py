"""Single images and what a classifier made of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Samples:
    """Images with their true and predicted classes.

    Args:
        images: (N, C, H, W) in [0, 1].
        labels: true classes (N,).
        predictions: predicted classes (N,).
        confidence: probability of the prediction (N,), float64, in which near-certain ones still differ.
    """

    images: Tensor
    labels: Tensor
    predictions: Tensor
    confidence: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def fields(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All tensors, in the order of the constructor."""
        return self.images, self.labels, self.predictions, self.confidence

    def __getitem__(self, rows: Tensor | slice) -> "Samples":
        return Samples(*(field[rows] for field in self.fields))

    def __add__(self, other: "Samples") -> "Samples":
        return Samples(*(torch.cat(pair) for pair in zip(self.fields, other.fields, strict=True)))

    def clone(self) -> "Samples":
        """A copy that does not keep the batch alive which it was cut from."""
        return Samples(*(field.clone() for field in self.fields))

    def cpu(self) -> "Samples":
        """The same on the CPU."""
        return Samples(*(field.cpu() for field in self.fields))


def judge(images: Tensor, labels: Tensor, scores: Tensor) -> Samples:
    """What class scores (N, K) say about images (N, C, H, W)."""
    confidence, predictions = scores.detach().double().softmax(1).max(1)
    return Samples(images, labels, predictions, confidence)


def rank_mistakes(samples: Samples, count: int) -> Samples:
    """The most confident mistakes first, of equal ones the earlier; behind them, right ones fill up to ``count``."""
    confidence = samples.confidence.masked_fill(samples.predictions == samples.labels, -1)
    return samples[confidence.argsort(descending=True, stable=True)[:count]]


def drop_right(samples: Samples) -> Samples:
    """The mistakes alone."""
    return samples[samples.predictions != samples.labels]


def pad(samples: Samples, count: int) -> Samples:
    """Samples filled up to ``count`` with black images that count as right, so that all ranks have equally many."""
    missing = count - len(samples)
    return Samples(*(functional.pad(field, [0, 0] * (field.dim() - 1) + [0, missing]) for field in samples.fields))


def describe(samples: Samples, classes: Sequence[str]) -> list[str]:
    """Two lines on each: the prediction, marked right or wrong, and its confidence."""
    rows = zip(samples.labels.tolist(), samples.predictions.tolist(), samples.confidence.tolist(), strict=True)
    return [describe_one(classes[label], classes[prediction], share) for label, prediction, share in rows]


def describe_one(label: str, prediction: str, confidence: float) -> str:
    """For example ``✗ cat`` and ``is dog, 97.1 % sure``."""
    sure = f"{100 * confidence:.1f} % sure"
    return f"✓ {label}\n{sure}" if label == prediction else f"✗ {prediction}\nis {label}, {sure}"
