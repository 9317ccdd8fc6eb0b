"""What lies beyond an image's border: which of its pixels stands there."""

from collections.abc import Callable

from torch import Tensor

# From positions of any sign (integers) and the number of pixels to positions within the image.
Border = Callable[[Tensor, int], Tensor]


def clamped(positions: Tensor, size: int) -> Tensor:
    """The border pixel goes on: a a | a b c d | d d."""
    return positions.clamp(0, size - 1)


def mirrored(positions: Tensor, size: int) -> Tensor:
    """Mirrored about the border pixel, which is not repeated: c b | a b c d | c b."""
    if size == 1:
        return positions * 0
    folded = positions.remainder(2 * size - 2)
    return folded.minimum(2 * size - 2 - folded)


def doubled(positions: Tensor, size: int | Tensor) -> Tensor:
    """Mirrored about the border itself, so that the border pixel comes twice: b a | a b c d | d c."""
    folded = positions.remainder(2 * size)
    return folded.minimum(2 * size - 1 - folded)
