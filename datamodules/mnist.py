"""MNIST and Fashion-MNIST from their official IDX files."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from datamodules.downloadable import DownloadableDataModule
from datamodules.files import damaged, require_files
from datamodules.sources import TensorSource


class MNIST(DownloadableDataModule):
    """MNIST (LeCun et al. 1998): 60,000 + 10,000 handwritten digits; reads ``MNIST/raw/*-ubyte``, also gzipped.

    Args:
        root: folder that holds the data set's own folder.
        download: fetch the official files where they are missing.
        colour: frame the 28x28 grey digits in black to 32x32 and repeat them in three channels, as networks for
            CIFAR take them; without it, images are (1, 28, 28) and the network needs one mean and std, image_size 28.
    """

    num_classes = 10
    mean = (0.1001,) * 3
    std = (0.2752,) * 3
    classes: tuple[str, ...] = tuple("0123456789")

    def __init__(self, root: str = "data", download: bool = False, colour: bool = True, **kwargs: Any) -> None:
        super().__init__(root=root, download=download, **kwargs)
        self.colour = colour

    def read(self, train: bool) -> TensorSource:
        """All images of the split."""
        prefix = "train" if train else "t10k"
        folder = self.root / type(self).__name__ / "raw"
        names = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
        zipped = [f"{name}.gz" for name in names]
        paths = require_files(folder, zipped if (folder / zipped[0]).is_file() else names, type(self).__name__)
        images, labels = read_idx(paths[0]).unsqueeze(1), read_idx(paths[1])
        return TensorSource(as_colour(images) if self.colour else images, labels)

    def fetch(self) -> None:
        """By torchvision, which checks each file's sum."""
        from torchvision import datasets

        getattr(datasets, type(self).__name__)(self.root, download=True)


class FashionMNIST(MNIST):
    """Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 pictures of clothes; reads ``FashionMNIST/raw/*-ubyte``.

    Args:
        root: folder that holds the data set's own folder.
        download: fetch the official files where they are missing.
        colour: frame the 28x28 grey pictures in black to 32x32 and repeat them in three channels.
    """

    mean = (0.2190,) * 3
    std = (0.3318,) * 3
    classes = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def as_colour(images: Tensor) -> Tensor:
    """From (N, 1, 28, 28) to (N, 3, 32, 32)."""
    return functional.pad(images, [2] * 4).expand(-1, 3, -1, -1).contiguous()


def read_idx(path: Path) -> Tensor:
    """The uint8 array of an IDX file: two zero bytes, type 8, number of dimensions, their sizes, the values."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, error) from error
    if content[:3] != b"\0\0\x08":
        raise damaged(path, "no IDX file of bytes")
    dims = content[3]
    shape = np.frombuffer(content, ">u4", dims, offset=4).astype(int)
    if len(content) != 4 + 4 * dims + shape.prod():
        raise damaged(path, f"{len(content)} bytes instead of {4 + 4 * dims + shape.prod()}")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * dims).reshape(shape).copy())
