"""CIFAR-10 and CIFAR-100 from their official python files."""

from typing import Any

import numpy as np
import torch

from datamodules.downloadable import DownloadableDataModule
from datamodules.files import damaged, read_pickled_arrays, require_files
from datamodules.sources import TensorSource


class CIFAR10(DownloadableDataModule):
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 photographs of 10 classes, 32x32; reads ``cifar-10-batches-py``."""

    num_classes = 10
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    classes: tuple[str, ...] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    folder = "cifar-10-batches-py"
    train_files: tuple[str, ...] = tuple(f"data_batch_{k}" for k in range(1, 6))
    test_files: tuple[str, ...] = ("test_batch",)
    label_key = "labels"

    def read(self, train: bool) -> TensorSource:
        """All images of the split's files."""
        names = self.train_files if train else self.test_files
        paths = require_files(self.root / self.folder, names, type(self).__name__)
        parts = [read_batch(path, self.label_key) for path in paths]
        return TensorSource(torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts]))

    def fetch(self) -> None:
        """By torchvision, which checks the archive's sum."""
        from torchvision import datasets

        getattr(datasets, type(self).__name__)(self.root, download=True)


class CIFAR100(CIFAR10):
    """CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 photographs of 100 classes, 32x32; reads ``cifar-100-python``."""

    num_classes = 100
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
    classes = ()
    folder = "cifar-100-python"
    train_files = ("train",)
    test_files = ("test",)
    label_key = "fine_labels"

    def read(self, train: bool) -> TensorSource:
        """All images of the split's file; the class names come from ``meta``, where it is there."""
        meta = self.root / self.folder / "meta"
        if meta.is_file():
            self.classes = tuple(read_pickled_arrays(meta)["fine_label_names"])
        return super().read(train)


def read_batch(path: Any, label_key: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 3, 32, 32) uint8 and labels (N,) of one file."""
    content = read_pickled_arrays(path)
    rows, labels = content.get("data"), content.get(label_key)
    if not isinstance(rows, np.ndarray) or rows.shape[1:] != (3072,) or rows.dtype != np.uint8:
        raise damaged(path, "no array data of (N, 3072) bytes")
    if labels is None or len(labels) != len(rows):
        raise damaged(path, f"{len(rows)} images but {0 if labels is None else len(labels)} {label_key}")
    return torch.from_numpy(rows.copy()).view(-1, 3, 32, 32), torch.tensor(labels)
