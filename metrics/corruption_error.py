"""How much worse a classifier is on corrupted images, as counts and beside a baseline."""

import torch
from torch import Tensor
from torchmetrics import Metric


class CorruptionError(Metric):
    """Share of images that are misclassified, clean and under each corruption at each severity.

    ``compute`` returns ``clean``, a number, ``errors`` (corruptions, severities) and their ``mean``, float64 in [0, 1];
    all are NaN before the first image. Exact over ranks and batches. The errors of the benchmark of Hendrycks &
    Dietterich (2019), arXiv:1903.12261, section 4.1; beside a baseline, see ``corruption_errors``.

    Args:
        corruptions: how many.
        severities: how many.
    """

    full_state_update = False
    counts: Tensor
    wrong: Tensor

    def __init__(self, corruptions: int = 15, severities: int = 5) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(2, dtype=torch.long), dist_reduce_fx="sum")  # images, clean mistakes
        self.add_state("wrong", torch.zeros(corruptions, severities, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, clean: Tensor, corrupted: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            clean: predictions (N,) for the clean images.
            corrupted: predictions (corruptions, severities, N) for the corrupted images.
            labels: true classes (N,).
        """
        mistakes = clean != labels
        self.counts += torch.stack([torch.ones_like(mistakes).sum(), mistakes.sum()])
        self.wrong += (corrupted != labels).sum(-1)

    def compute(self) -> dict[str, Tensor]:
        """Error rates over all images and ranks."""
        images, clean = self.counts.double()
        errors = self.wrong / images
        return {"clean": clean / images, "errors": errors, "mean": errors.mean()}


def corruption_errors(errors: Tensor, baseline: Tensor) -> Tensor:
    """Corruption error CE of each corruption in percent of a baseline's, (corruptions,).

    The ratio of the sums over severities; 100 is as bad as the baseline. Its mean over the corruptions is the mean
    corruption error, MCE: a mean of ratios, not a ratio of means. NaN where the baseline makes no mistake.

    Args:
        errors: error rates (corruptions, severities).
        baseline: those of the baseline, for the same images.
    """
    return percent(errors.sum(1), baseline.sum(1))


def relative_corruption_errors(errors: Tensor, clean: Tensor, baseline: Tensor, baseline_clean: Tensor) -> Tensor:
    """Relative corruption error of each corruption in percent of a baseline's, (corruptions,).

    As ``corruption_errors``, of what the corruption adds to the clean error. NaN, and so is the mean, where a
    corruption adds nothing to the baseline's error or even lowers it: there the ratio means nothing.

    Args:
        errors: error rates (corruptions, severities).
        clean: error rate for the clean images, a number.
        baseline: the baseline's error rates for the same corrupted images.
        baseline_clean: the baseline's error rate for the clean images, a number.
    """
    return percent((errors - clean).sum(1), (baseline - baseline_clean).sum(1))


def percent(part: Tensor, whole: Tensor) -> Tensor:
    """A share in percent, NaN where the whole is not positive beyond rounding."""
    return torch.where(whole > 1e-9, 100 * (part / whole), torch.nan)
