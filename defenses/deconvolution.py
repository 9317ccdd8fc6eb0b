"""Take back a slight blur."""

import torch
from torch import Tensor

from defenses.defense import Defense
from options import check_above, check_at_least


class Deconvolution(Defense):
    """Divide a Gaussian blur out of images, as far as smoothness allows (backward pass: exact).

    Wiener filtering with a penalty on the Laplacian (Hunt 1971; Orieux et al. 2010), as scikit-image's
    ``restoration.wiener``; borders wrap round. The thesis's table 4.11 states neither method nor options.

    Args:
        blur: standard deviation of the Gaussian in pixels; 0 for none; ``balance`` alone still smooths.
        balance: weight of the penalty, above 0 where there is a blur.
    """

    def __init__(self, blur: float = 0.5, balance: float = 0.1) -> None:
        super().__init__()
        check_at_least(self, 0, blur=blur, balance=balance)
        self.blur, self.balance = blur, balance
        if blur:
            check_above(self, 0, balance=balance)

    def restore(self, images: Tensor, run: int) -> Tensor:
        size = (images.shape[2], images.shape[3])
        blur = transfer(self._kernel(images), size)
        laplacian = transfer(images.new_tensor([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]), size)
        inverse = blur.conj() / (blur.abs().square() + self.balance * laplacian.abs().square())
        sharp: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * inverse, s=size)
        return sharp.clamp(0, 1)

    def _kernel(self, like: Tensor) -> Tensor:
        """The Gaussian (5, 5), which sums to 1."""
        steps = torch.arange(-2, 3, device=like.device, dtype=like.dtype)
        weights = (-0.5 * (steps / max(self.blur, 1e-6)).square()).exp()
        return torch.outer(weights, weights) / weights.sum().square()


def transfer(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """The half spectrum of a small kernel whose middle is at the origin, for images of this size."""
    rows, columns = (torch.arange(length, device=kernel.device) - length // 2 for length in kernel.shape)
    spread = kernel.new_zeros(size).index_put((rows.unsqueeze(1) % size[0], columns % size[1]), kernel, accumulate=True)
    spectrum: Tensor = torch.fft.rfft2(spread)
    return spectrum
