"""OpenCV, where it is installed: its compiled code is faster on a processor than tensors are."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from defenses.defense import Gradient
from defenses.non_local_means import NonLocalMeans


@cache
def installed() -> bool:
    """Whether OpenCV is there."""
    return find_spec("cv2") is not None


def serves(images: Tensor) -> bool:
    """Whether OpenCV is there and takes such images."""
    return images.is_cpu and images.dtype == torch.float32 and not images.requires_grad and installed()


def median_of_nine(images: Tensor) -> Tensor:
    """The median of 3 x 3 pixels in each channel of images (N, C, H, W) that it serves; the border pixel goes on."""
    cv2: Any = import_module("cv2")
    smooth = torch.empty(images.shape)
    for plane, result in zip(images.contiguous().flatten(0, 1).numpy(), smooth.flatten(0, 1).numpy()):
        result[...] = cv2.medianBlur(plane, 3)
    return smooth


class OpenCVNonLocalMeans(NonLocalMeans):
    """Non-local means by OpenCV, faster on a processor (needs opencv-python-headless; backward pass: its twin's).

    It differs from ``NonLocalMeans`` as it rounds pixels to bytes and leaves out weights below 0.001: by less than half
    a grey level on average. It takes images of up to four channels.
    """

    gradient: Gradient = "surrogate"

    def __init__(self, search: int = 13, patch: int = 3, strength: float = 4.0) -> None:
        super().__init__(search, patch, strength)
        if not installed():
            raise ValueError(
                "OpenCVNonLocalMeans needs OpenCV, which is not installed: pip install opencv-python-headless, or take "
                "NonLocalMeans"
            )

    def restore(self, images: Tensor, run: int) -> Tensor:
        if images.shape[1] > 4:
            raise ValueError(f"images have {images.shape[1]} channels, OpenCV takes up to 4: take NonLocalMeans")
        cv2: Any = import_module("cv2")
        pictures = (images * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().cpu()
        smooth = torch.empty_like(pictures)
        for picture, result in zip(pictures.numpy(), smooth.numpy()):
            new = cv2.fastNlMeansDenoising(picture, None, self.strength, self.patch, self.search)
            result[...] = new.reshape(result.shape)
        return smooth.permute(0, 3, 1, 2).to(images.device, images.dtype) / 255

    def stand_in(self, images: Tensor, run: int) -> Tensor:
        return super().restore(images, run)
