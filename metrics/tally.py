"""Loss and accuracy as counts, from which rates are formed once at the end."""

import torch
from torch import Tensor
from torchmetrics import Metric


class ClassificationTally(Metric):
    """Mean loss, accuracy and top-5 accuracy of a classifier, exact over ranks and batches.

    ``compute`` returns ``{"loss", "acc", "top5"}``; rates lie in [0, 1], and all are NaN before the first image.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        # One state for four sums means one collective at the end: summed loss, images right, right among five, images.
        self.add_state("counts", torch.zeros(4, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, losses: Tensor, scores: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            losses: the mean loss of the batch, or one loss per image (N,).
            scores: class scores (N, num_classes).
            labels: class indices (N,).
        """
        self.counts += tally(losses.detach(), scores.detach(), labels)

    def compute(self) -> dict[str, Tensor]:
        """Mean loss and rates over all images and ranks."""
        loss, right, among_five = self.counts[:3] / self.counts[3]
        return {"loss": loss.float(), "acc": right.float(), "top5": among_five.float()}


def tally(losses: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """Summed loss, number of images right, number right among the five highest scores, number of images: (4,)."""
    count = len(labels)
    total = losses.double().mean() * count
    right = (scores.argmax(1) == labels).sum()
    highest = scores.topk(min(5, scores.shape[1]), dim=1).indices  # (N, 5)
    among_five = (highest == labels.unsqueeze(1)).sum()
    return torch.stack([total, right, among_five, total.new_tensor(count)])
