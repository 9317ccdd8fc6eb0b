"""How often perturbations change the predictions of networks, as counts."""

import torch
from torch import Tensor
from torchmetrics import Metric


class TransferMatrix(Metric):
    """Fooling rates of several universal perturbations, each for several networks.

    A network is fooled where its own prediction changes, right or wrong (Moosavi-Dezfooli et al. 2017, arXiv
    1610.08401). ``compute`` returns ``rates``, shares (perturbations, networks) of all images, NaN before the first
    one, and ``images``, how many there were. Exact over ranks and batches.

    Args:
        perturbations: how many, the rows.
        networks: how many, the columns.
    """

    full_state_update = False
    fooled: Tensor
    images: Tensor

    def __init__(self, perturbations: int, networks: int) -> None:
        super().__init__()
        self.add_state("fooled", torch.zeros(perturbations, networks, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, before: Tensor, after: Tensor) -> None:
        """Add a batch.

        Args:
            before: predictions (networks, N) for the clean images.
            after: predictions (perturbations, networks, N) for the perturbed images.
        """
        self.fooled += (after != before).sum(2)
        self.images += before.shape[1]

    def compute(self) -> dict[str, Tensor]:
        """Rates in [0, 1] and the number of images, over all ranks."""
        return {"rates": self.fooled.double() / self.images, "images": self.images}
