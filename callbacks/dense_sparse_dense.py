"""Dense-sparse-dense training, which RePr is compared with: single weights leave instead of filters."""

from lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.alternating_pruning import AlternatingPruning, Unit, network_of
from callbacks.phases import Phases
from pruning import Mask, check_shares, smallest_weights


class DenseSparseDense(AlternatingPruning):
    """Trains in cycles without the smallest weights, which then return as zeros: a strong regulariser.

    Han et al. 2017, "DSD: Dense-Sparse-Dense Training for Deep Neural Networks", arXiv 1607.04381. Weights of
    convolutions and linear layers are ranked by absolute value.

    Args:
        percent: how many percent of the weights leave, in (0, 100).
        dense_epochs: length of a phase with all weights.
        sparse_epochs: length of a phase without the small ones.
        cycles: how often they leave.
        unit: of the two lengths: epochs or steps of the optimiser.
        whole_network: rank all weights in one list instead of each layer's in its own.
        validate_sparse: validate while weights are away, too, and let such a network become the best checkpoint.
    """

    def __init__(
        self,
        percent: float = 30.0,
        dense_epochs: int = 20,
        sparse_epochs: int = 10,
        cycles: int = 3,
        unit: Unit = "epoch",
        whole_network: bool = False,
        validate_sparse: bool = False,
    ) -> None:
        check_shares(percent)
        super().__init__(Phases(dense_epochs, sparse_epochs, cycles), unit, validate_sparse)
        self.percent, self.whole_network = percent, whole_network

    def leave(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Tensor]:
        keep = smallest_weights(network_of(pl_module), self.percent, self.whole_network)
        keep = trainer.strategy.broadcast(keep)
        Mask(network_of(pl_module), keep).apply()
        return keep
