"""What a defence refuses, in words."""

from torch import Tensor

TOLERANCE = 1e-5  # float error of images that were normalised and brought back


def check_grey_or_rgb(owner: object, images: Tensor) -> None:
    """Images of one channel or of three."""
    if images.shape[1] not in (1, 3):
        raise ValueError(f"images have {images.shape[1]} channels: {type(owner).__name__} takes 1 (grey) or 3 (RGB)")


def check_images(owner: object, images: Tensor) -> None:
    """A batch of floating-point images."""
    if images.dim() != 4 or not images.is_floating_point():
        raise ValueError(
            f"images are {images.dtype} of shape {tuple(images.shape)}: {type(owner).__name__} needs floating-point "
            "images (N, C, H, W) in [0, 1]; divide bytes by 255"
        )


def check_pixels(owner: object, images: Tensor) -> None:
    """All pixels in [0, 1], which NaN is not."""
    low, high = (extreme.item() for extreme in images.detach().aminmax())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        raise ValueError(
            f"images hold pixels from {low:.4g} to {high:.4g}: {type(owner).__name__} works on [0, 1]; divide bytes by "
            "255, and leave normalisation to the network's first layer"
        )
