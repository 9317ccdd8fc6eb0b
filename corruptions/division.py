"""Division with the same bits on every device."""

from torch import Tensor


def divided(values: Tensor, divisor: float) -> Tensor:
    """Floating-point values over a number, rounded as IEEE 754 says.

    CUDA multiplies by the inverse of a Python number instead, which costs the last bit; where levels are truncated to
    bytes, that bit can be a whole level.
    """
    quotients: Tensor = values / values.new_full((), divisor)
    return quotients
