"""How easily a classifier is fooled, as counts."""

import torch
from torch import Tensor
from torchmetrics import Metric


class FoolingRate(Metric):
    """Share of images whose prediction an attack changes, accuracy under it, and the size of its perturbations.

    ``compute`` returns ``fooling_rate``, the share of all images whose own prediction changes, right or wrong (Moosavi-
    Dezfooli et al. 2017, "Universal adversarial perturbations", arXiv 1610.08401); ``clean_acc`` and ``acc``, the share
    that is right before, and right before and after; ``l2``, ``l2_median``, ``linf`` and ``linf_median`` of what
    changed the prediction, in pixels scaled to [0, 1]. What there is no image for is NaN. Exact over ranks and batches.
    """

    full_state_update = False
    counts: Tensor
    sizes: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        # Images, those whose prediction changed, right before, right before and after.
        self.add_state("counts", torch.zeros(4, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("sizes", [], dist_reduce_fx="cat")

    def update(self, before: Tensor, after: Tensor, labels: Tensor, perturbations: Tensor) -> None:
        """Add a batch.

        Args:
            before: predictions (N,) for the clean images.
            after: predictions (N,) for the attacked images.
            labels: true classes (N,).
            perturbations: attacked minus clean images (N, C, H, W), in [-1, 1].
        """
        fooled, right = before != after, before == labels
        counts = [torch.ones_like(fooled), fooled, right, right & ~fooled]
        self.counts += torch.stack([count.sum() for count in counts])
        self.sizes.append(sizes_of(perturbations[fooled]))

    def compute(self) -> dict[str, Tensor]:
        """Rates in [0, 1] and sizes, over all images and ranks."""
        images, fooled, right, robust = self.counts.double()
        l2, linf = self.perturbation_sizes().double().unbind(1)
        return {
            "fooling_rate": fooled / images,
            "clean_acc": right / images,
            "acc": robust / images,
            "l2": l2.mean(),
            "l2_median": median(l2),
            "linf": linf.mean(),
            "linf_median": median(linf),
        }

    def perturbation_sizes(self) -> Tensor:
        """L2 and L∞ norm of each perturbation that changed a prediction, (n, 2)."""
        parts = self.sizes if isinstance(self.sizes, list) else [self.sizes]
        return torch.cat([self.counts.new_zeros(0, 2, dtype=torch.float32), *parts])


def sizes_of(perturbations: Tensor) -> Tensor:
    """L2 and L∞ norm of perturbations (N, ...), as (N, 2)."""
    flat = perturbations.flatten(1).float()
    if not len(flat):
        return flat.new_zeros(0, 2)
    return torch.stack([torch.linalg.vector_norm(flat, dim=1), flat.abs().amax(1)], dim=1)


def median(values: Tensor) -> Tensor:
    """The middle value (n,), halfway between the two middle ones of an even number; NaN of none."""
    return values.quantile(0.5) if len(values) else values.new_tensor(torch.nan)
