"""What a corruption promises, and what it refuses."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from corruptions.division import divided

SEVERITIES = (1, 2, 3, 4, 5)
TOLERANCE = 1e-5  # float error of pixels that were normalised and brought back


class Corruption(ABC):
    """Degrade images as nature, cameras and files do, without looking at a model.

    The common corruptions of Hendrycks & Dietterich (2019), arXiv:1903.12261, either computed or read from files.

    Attributes:
        name: as in the benchmark's file names.
        severity: 1 (mild) to 5 (strong).
    """

    name: str
    severity: int

    def __repr__(self) -> str:
        return f"{type(self).__name__}(severity={self.severity})"

    @abstractmethod
    def apply(self, images: Tensor, indices: Tensor, seed: int = 0) -> Tensor:
        """The corrupted images: same shape, dtype and device.

        Equal seeds and indices give equal results, whatever the batch, its order and the rank.

        Args:
            images: (N, C, H, W), uint8, or floating-point in [0, 1], which is rounded to bytes first.
            indices: (N,) integers, the images' places in their data set.
            seed: another one gives other noise.
        """


def to_levels(images: Tensor) -> Tensor:
    """Bytes; floating-point pixels are rounded."""
    return images if images.dtype == torch.uint8 else (images.double() * 255).round().clamp(0, 255).to(torch.uint8)


def from_levels(levels: Tensor, like: Tensor) -> Tensor:
    """Bytes in the dtype and on the device of other images."""
    levels = levels.to(like.device)
    return levels if like.dtype == torch.uint8 else divided(levels.to(like.dtype), 255)


def check_severity(severity: int) -> None:
    """One of the five."""
    if not isinstance(severity, int) or severity not in SEVERITIES:
        raise ValueError(f"severity={severity} must be an integer from 1 (mild) to 5 (strong)")


def check_images(images: Tensor, indices: Tensor) -> None:
    """A batch of pictures in range, with one index each."""
    if images.dim() != 4 or not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise ValueError(
            f"images are {images.dtype} of shape {tuple(images.shape)}: a corruption needs (N, C, H, W), either uint8 "
            "or floating-point in [0, 1]"
        )
    if indices.shape != images.shape[:1] or indices.is_floating_point():
        raise ValueError(
            f"indices are {indices.dtype} of shape {tuple(indices.shape)} for {len(images)} images: give each image's "
            "place in its data set, one integer each"
        )
    if images.is_floating_point() and images.numel():
        low, high = (extreme.item() for extreme in images.aminmax())
        if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
            raise ValueError(
                f"images hold pixels from {low:.4g} to {high:.4g}: a corruption works on [0, 1]; leave normalisation "
                "to the model's first layer"
            )
