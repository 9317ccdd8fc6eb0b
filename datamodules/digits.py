"""Handwritten digits that come with scikit-learn: real images without a download."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from datamodules.batches import keyed_generator
from datamodules.image_datamodule import ImageDataModule
from datamodules.sources import TensorSource


class Digits(ImageDataModule):
    """1,797 handwritten digits (Alpaydin & Kaynak 1998, as in scikit-learn), up-sampled to 32x32 RGB; no download.

    A fixed 20 % are the test set.

    Args:
        batch_size: training images per step and process.
        val_size: number of training images that are held out for validation.
    """

    num_classes = 10
    mean = (0.3052,) * 3
    std = (0.3237,) * 3
    classes = tuple("0123456789")
    test_size = 360

    def __init__(self, batch_size: int = 64, val_size: int = 180, **kwargs: Any) -> None:
        super().__init__(batch_size=batch_size, val_size=val_size, **kwargs)

    def read(self, train: bool) -> TensorSource:
        """The images of one side of a fixed permutation, since the file knows no official split."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        order = torch.randperm(len(digits.target), generator=keyed_generator(1998))
        chosen = order[self.test_size :] if train else order[: self.test_size]
        return TensorSource(upsample(digits.images)[chosen], torch.from_numpy(digits.target)[chosen])


def upsample(images: np.ndarray) -> torch.Tensor:
    """From (N, 8, 8) with values 0 to 16 to (N, 3, 32, 32) uint8, bilinear."""
    grey = torch.from_numpy(images).float().unsqueeze(1) / 16
    large = functional.interpolate(grey, size=(32, 32), mode="bilinear", align_corners=False)
    return (large * 255).round().byte().expand(-1, 3, -1, -1).contiguous()
