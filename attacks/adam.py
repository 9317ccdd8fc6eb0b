"""Adam for a batch in which every image is a problem of its own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.rows import Rows

MEAN_DECAY, SQUARE_DECAY, TINY = 0.9, 0.999, 1e-8


@dataclass
class Adam(Rows):
    """The two running means of gradients.

    Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", arXiv 1412.6980, algorithm 1 with its defaults.

    Attributes:
        mean: (n, ...) of gradients.
        square: (n, ...) of squared gradients.
    """

    mean: Tensor
    square: Tensor

    @classmethod
    def at_rest(cls, like: Tensor) -> "Adam":
        """Before the first step of images (n, ...)."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))

    def update(self, gradient: Tensor, step: int, learning_rate: float) -> Tensor:
        """What to add to the variable in a step, counted from 1."""
        self.mean.lerp_(gradient, 1 - MEAN_DECAY)
        self.square.mul_(SQUARE_DECAY).addcmul_(gradient, gradient, value=1 - SQUARE_DECAY)
        root = (self.square / (1 - SQUARE_DECAY**step)).sqrt_().add_(TINY)
        return self.mean / root * (-learning_rate / (1 - MEAN_DECAY**step))
