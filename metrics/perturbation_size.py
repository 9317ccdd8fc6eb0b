"""How large perturbations are, whatever the size of the images."""

import torch
from torch import Tensor
from torchmetrics import Metric


class PerturbationSize(Metric):
    """Mean size of perturbations, in two units that do not grow with the number of pixels.

    ``compute`` returns ``rmse``, the root mean square of δ = x' − x in pixels scaled to [0, 1], "normalized RMSE" to
    Prakash 2019; and ``rel_l2``, ‖δ‖₂ / ‖x‖₂. Both are NaN before the first perturbation. Exact over ranks and batches.
    """

    full_state_update = False
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Perturbations, their RMSE, their relative L2 norm.
        self.add_state("sums", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, images: Tensor, attacked: Tensor) -> None:
        """Add a batch.

        Args:
            images: clean, (N, C, H, W) in [0, 1].
            attacked: likewise.
        """
        relative = length(attacked - images) / length(images).clamp(min=1e-12)  # a black image has no length
        sizes = torch.stack([torch.ones_like(relative), rmse(images, attacked), relative], dim=1)
        self.sums += sizes.double().sum(0)

    def compute(self) -> dict[str, Tensor]:
        """Means over all perturbations and ranks."""
        count, root, relative = self.sums
        return {"rmse": root / count, "rel_l2": relative / count}


def rmse(images: Tensor, others: Tensor) -> Tensor:
    """Root mean square difference of each image (N,), in the images' unit."""
    return (others - images).flatten(1).float().square().mean(1).sqrt()


def length(images: Tensor) -> Tensor:
    """L2 norm of each image (N,)."""
    norm: Tensor = torch.linalg.vector_norm(images.flatten(1).float(), dim=1)
    return norm
