"""Corrupted images in files of the benchmark's layout, such as the published CIFAR-10-C.

A folder has one file per corruption, ``gaussian_noise.npy``: (5 N, H, W, C) uint8, the N images at severity 1, then at
severity 2, and so on; and ``labels.npy``, the N labels five times over.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from corruptions.corruption import SEVERITIES, Corruption, check_images, check_severity, from_levels

LABELS = "labels"


class StoredCorruption(Corruption):
    """Corrupted images that are read from a file, such as the published CIFAR-10-C; the images given don't matter.

    Args:
        folder: with one ``.npy`` file per corruption.
        name: of the file, without ``.npy``.
        severity: 1 (mild) to 5 (strong).
    """

    def __init__(self, folder: str | Path, name: str, severity: int) -> None:
        check_severity(severity)
        self.folder, self.name, self.severity = Path(folder), name, severity
        self._open()

    def apply(self, images: Tensor, indices: Tensor, seed: int = 0) -> Tensor:
        """The stored images of these indices; a seed changes nothing."""
        check_images(images, indices)
        stored = self._open()
        shape = stored.shape[-1:] + stored.shape[1:3]
        if images.shape[1:] != shape:
            raise ValueError(
                f"folder={self.folder} holds images {shape}, but the data set's are {tuple(images.shape[1:])}: take "
                "the data set that was corrupted"
            )
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < len(stored):
            raise ValueError(
                f"folder={self.folder} holds {len(stored)} images per severity, but images {int(indices.min())} to "
                f"{int(indices.max())} are asked for: take the data set that was corrupted"
            )
        rows = torch.from_numpy(stored[indices.cpu().numpy()])
        return from_levels(rows.permute(0, 3, 1, 2).contiguous(), images)

    def _open(self) -> np.ndarray:
        """This severity's images (N, H, W, C), left in the file until they are indexed."""
        stored = open_array(self.folder, self.name)
        if stored.dtype != np.uint8 or stored.ndim != 4 or len(stored) % len(SEVERITIES):
            raise ValueError(
                f"{self.folder / self.name}.npy holds {stored.dtype} of shape {stored.shape}: it must be uint8 "
                "(5 N, H, W, C), one severity after the other"
            )
        count = len(stored) // len(SEVERITIES)
        return stored[count * (self.severity - 1) :][:count]


def stored_labels(folder: str | Path) -> Tensor:
    """The labels (N,) int64 of a folder's images."""
    labels = torch.from_numpy(np.array(open_array(Path(folder), LABELS), dtype=np.int64))
    if labels.dim() != 1 or len(labels) % len(SEVERITIES) or bool((labels != labels.view(5, -1)[0].repeat(5)).any()):
        raise ValueError(f"{Path(folder) / LABELS}.npy must hold the same labels five times over: get it again")
    return labels[: len(labels) // len(SEVERITIES)]


def open_array(folder: Path, name: str) -> np.ndarray:
    """An array that stays in its file; nothing in the file is executed."""
    path = folder / f"{name}.npy"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in folder.glob("*.npy"))) or "no .npy file at all"
        raise FileNotFoundError(f"folder={folder} lacks {path.name}: it holds {there}")
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is truncated or damaged ({error}): remove it and get it again") from error
    return array
