"""The smallest budget that fools a classifier."""

import torch
from torch import Tensor
from torchmetrics import Metric

from metrics.fooling_rate import median


class AdversarialRadius(Metric):
    """Median and mean of the smallest perturbation that fools a classifier, and the share that nothing fooled.

    Of images that are recognised; those that are not need no perturbation and are counted apart. ``compute`` returns
    ``median``, over all recognised images, infinite where half of them were never fooled; ``mean``, over the fooled
    ones alone; ``never``, the share of recognised images that no budget fooled; ``wrong``, the share of all images that
    were not recognised. What there is no image for is NaN.
    """

    full_state_update = False
    counts: Tensor
    radii: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(2, dtype=torch.long), dist_reduce_fx="sum")  # images, those not recognised
        self.add_state("radii", [], dist_reduce_fx="cat")

    def update(self, radii: Tensor, recognised: Tensor) -> None:
        """Add a batch.

        Args:
            radii: norm (N,) of the smallest perturbation that fooled, infinite where none did.
            recognised: whether the clean image is, bool (N,).
        """
        self.counts += torch.stack([torch.ones_like(recognised).sum(), (~recognised).sum()])
        self.radii.append(radii[recognised].double())

    def compute(self) -> dict[str, Tensor]:
        """The radius in the unit of its norm, and rates in [0, 1]."""
        images, wrong = self.counts.double()
        radii = self.known()
        fooled = radii[radii.isfinite()]
        return {
            "median": middle(radii),
            "mean": fooled.mean(),
            "never": radii.isinf().double().mean(),
            "wrong": wrong / images,
        }

    def known(self) -> Tensor:
        """The radii of all recognised images (n,)."""
        parts = self.radii if isinstance(self.radii, list) else [self.radii]
        return torch.cat([self.counts.new_zeros(0, dtype=torch.float64), *parts])


def middle(radii: Tensor) -> Tensor:
    """The median, where infinite values count as largest."""
    ordered = radii.sort().values
    low, high = (len(ordered) - 1) // 2, len(ordered) // 2
    if not len(ordered) or ordered[low : high + 1].isinf().any():
        return radii.new_tensor(torch.inf if len(ordered) else torch.nan)
    return median(ordered[low : high + 1])
