"""Which class was taken for which."""

import torch
from torch import Tensor
from torchmetrics import Metric


class ConfusionCounts(Metric):
    """How many images of each class were taken for each class, exact over ranks and batches.

    ``compute`` returns counts (K, K), int64: rows are true classes, columns are predictions.

    Args:
        num_classes: K.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Add a batch of predicted and true classes, both (N,) integers."""
        self.counts += count_pairs(predictions, labels, len(self.counts))

    def compute(self) -> Tensor:
        """The counts of all ranks."""
        return self.counts


def count_pairs(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Counts (num_classes, num_classes) of each pair of true class (row) and predicted class (column)."""
    pairs = labels * num_classes + predictions
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)
