"""Street View House Numbers, cropped digits."""

from pathlib import Path

import torch
from torch import Tensor

from datamodules.downloadable import DownloadableDataModule
from datamodules.files import damaged, require_files
from datamodules.sources import TensorSource


class SVHN(DownloadableDataModule):
    """SVHN (Netzer et al. 2011): 73,257 + 26,032 house-number digits, 32x32; reads ``train_32x32.mat``."""

    num_classes = 10
    mean = (0.4377, 0.4438, 0.4728)
    std = (0.1980, 0.2010, 0.1970)
    classes = tuple("0123456789")

    def read(self, train: bool) -> TensorSource:
        """The cropped digits; the optional extra set is not used."""
        name = "train_32x32.mat" if train else "test_32x32.mat"
        (path,) = require_files(self.root, [name], "SVHN")
        return TensorSource(*read_mat(path))

    def fetch(self) -> None:
        """By torchvision, which checks each file's sum."""
        from torchvision.datasets import SVHN as Official

        for split in ("train", "test"):
            Official(str(self.root), split=split, download=True)


def read_mat(path: Path) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) uint8 and labels (N,), in which the file's class 10 means the digit 0."""
    from scipy.io import loadmat

    try:
        content = loadmat(path)
        images, labels = content["X"], content["y"].ravel()
    except Exception as error:  # scipy raises a different error for every kind of damage
        raise damaged(path, error) from error
    return torch.from_numpy(images).permute(3, 2, 0, 1).contiguous(), torch.from_numpy(labels % 10)
