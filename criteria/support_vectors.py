"""A support vector machine on embeddings."""

from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from criteria.readouts import Readout


class SupportVectors(Readout):
    """A support vector machine with a Gaussian kernel, scikit-learn's, on the embeddings of training images.

    Scores are those of scikit-learn's one-against-rest form: pairwise votes, and as tie-break bounded sums of pairwise
    margins. They are computed on the device and can be differentiated. Learning takes minutes for tens of thousands of
    images whose classes overlap.

    Args:
        penalty: C, above 0.
        images_in_fit: see ``Readout``.
    """

    def __init__(self, penalty: float = 1.0, images_in_fit: int = 5000) -> None:
        super().__init__(images_in_fit)
        if not penalty > 0:
            raise ValueError(f"SupportVectors: penalty={penalty} must be above 0")
        self.penalty = penalty

    @property
    def name(self) -> str:
        return "SVC"

    def learn(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        from sklearn.svm import SVC

        points, classes = embeddings.double().cpu().numpy(), labels.cpu().numpy()
        if len(np.unique(classes)) < 2:
            raise ValueError("SupportVectors: the training images to remember are of one class: take more of them")
        machine = SVC(C=self.penalty, kernel="rbf", gamma="scale").fit(points, classes)
        weights, offsets = pairwise(machine)
        learned = {
            "vectors": torch.from_numpy(machine.support_vectors_),
            "weights": torch.from_numpy(weights),
            "offsets": torch.from_numpy(offsets),
            "classes": torch.from_numpy(machine.classes_).long(),
            "gamma": torch.tensor(gamma_of(points), dtype=torch.float64),
        }
        return {name: tensor.to(embeddings.device) for name, tensor in learned.items()}

    def score(self, embeddings: Tensor) -> Tensor:
        known = self.memory
        distances = torch.cdist(embeddings.double(), known["vectors"].double())
        similar = (-known["gamma"].double() * distances.square()).exp()  # (N, vectors)
        margins = similar @ known["weights"].double() + known["offsets"].double()  # (N, pairs)
        scores = one_against_rest(margins, len(known["classes"])).to(embeddings.dtype)
        lowest = scores.new_full((len(scores), self.num_classes), -1.0)  # of classes that were never seen
        return lowest.index_copy(1, known["classes"], scores)


def gamma_of(points: np.ndarray) -> float:
    """Scikit-learn's ``scale``: 1 / (d · variance)."""
    variance = points.var()
    return float(1 / (points.shape[1] * variance)) if variance else 1.0


def pairwise(machine: Any) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (vectors, pairs) and offsets (pairs,) of the machines of each pair; positive for the first class."""
    classes, counts, coefficients = len(machine.classes_), machine.n_support_, machine.dual_coef_
    if classes == 2:  # scikit-learn turns the sign of a single machine
        return -coefficients.T, -machine.intercept_
    rows = np.split(np.arange(counts.sum()), np.cumsum(counts)[:-1])
    weights = np.zeros((counts.sum(), classes * (classes - 1) // 2))
    for pair, (first, second) in enumerate(combinations(range(classes), 2)):
        weights[rows[first], pair] = coefficients[second - 1, rows[first]]
        weights[rows[second], pair] = coefficients[first, rows[second]]
    return weights, machine.intercept_


def one_against_rest(margins: Tensor, classes: int) -> Tensor:
    """Votes and bounded margins (N, classes) from margins (N, pairs)."""
    first, second = torch.tensor(list(combinations(range(classes), 2)), device=margins.device).T
    empty = margins.new_zeros(len(margins), classes)
    wins = (margins > 0).to(margins.dtype)
    votes = empty.index_add(1, first, wins).index_add(1, second, 1 - wins)
    sums = empty.index_add(1, first, margins).index_add(1, second, -margins)
    return votes + sums / (3 * (sums.abs() + 1))
