"""Fewer grey levels."""

from torch import Tensor

from defenses.defense import Defense, Gradient
from options import check_between, check_whole


class BitDepth(Defense):
    """Round pixels to fewer grey levels (backward pass: the identity).

    Xu et al. 2018, "Feature Squeezing", arXiv 1704.01155, section III.A.

    Args:
        bits: levels are 2**bits, 1 to 8.
    """

    gradient: Gradient = "identity"

    def __init__(self, bits: int = 5) -> None:
        super().__init__()
        check_whole(self, bits=bits)
        check_between(self, 1, 8, bits=bits)
        self.bits = bits

    def restore(self, images: Tensor, run: int) -> Tensor:
        steps = 2**self.bits - 1
        # CUDA would multiply by the inverse of a Python number: other bits, and other draws of a defence behind it.
        rounded: Tensor = (images * steps).round() / images.new_full((), steps)
        return rounded
