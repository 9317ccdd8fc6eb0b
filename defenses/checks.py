"""What a defence refuses, in words."""

from torch import Tensor


def check_images(owner: object, images: Tensor) -> None:
    """A batch of floating-point images."""
    if images.dim() != 4 or not images.is_floating_point():
        raise ValueError(
            f"images are {images.dtype} of shape {tuple(images.shape)}: {type(owner).__name__} needs floating-point "
            "images (N, C, H, W) in [0, 1]; divide bytes by 255"
        )
