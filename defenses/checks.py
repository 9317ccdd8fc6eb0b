"""What a defence refuses, in words."""

from torch import Tensor


def check_images(owner: object, images: Tensor) -> None:
    """A batch of floating-point images."""
    if images.dim() != 4 or not images.is_floating_point():
        raise ValueError(
            f"images are {images.dtype} of shape {tuple(images.shape)}: {type(owner).__name__} needs floating-point "
            "images (N, C, H, W) in [0, 1]; divide bytes by 255"
        )


def check_at_least(owner: object, least: float, **options: float | None) -> None:
    """Options of a defence that must not be smaller than something; None passes."""
    for name, value in options.items():
        if value is not None and not value >= least:
            raise ValueError(f"{type(owner).__name__}: {name}={value} must be at least {least}")


def check_above(owner: object, least: float, **options: float | None) -> None:
    """Options of a defence that must be larger than something; None passes."""
    for name, value in options.items():
        if value is not None and not value > least:
            raise ValueError(f"{type(owner).__name__}: {name}={value} must be above {least}")


def check_between(owner: object, low: float, high: float, **options: float | None) -> None:
    """Options of a defence with a range; None passes."""
    for name, value in options.items():
        if value is not None and not low <= value <= high:
            raise ValueError(f"{type(owner).__name__}: {name}={value} must lie from {low} to {high}")
