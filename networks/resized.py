"""A network for images of another size than its own."""

from torch import Tensor, nn
from torch.nn import functional


class Resized(nn.Module):
    """Resizes images before a network, so that networks of different input sizes take the same ones.

    Bilinear, with a filter against aliasing where images become smaller; gradients flow through.

    Args:
        network: from images of ``size`` to class scores.
        size: height and width that it takes.
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"Resized: size={size} must be at least 1")
        self.network, self.size = network, size

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (N, num_classes) of images (N, C, H, W) in [0, 1]."""
        side = (self.size, self.size)
        if images.shape[-2:] != side:
            images = functional.interpolate(images, size=side, mode="bilinear", antialias=True, align_corners=False)
        scores: Tensor = self.network(images)
        return scores
