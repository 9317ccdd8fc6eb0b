"""How a technique takes part in what training minimises, besides the criterion."""

from typing import Protocol

from torch import Tensor


class LossTerm(Protocol):
    """What one technique makes of the loss of a training batch; terms are applied one after the other."""

    def __call__(self, loss: Tensor, images: Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
        """The loss that is to be minimised instead, a scalar.

        Args:
            loss: the criterion's mean loss, as the terms before have left it.
            images: what the network saw (N, C, H, W), in [0, 1].
            outputs: the network's, class scores (N, num_classes) or embeddings (N, d).
            labels: class indices (N,).
        """
        ...
