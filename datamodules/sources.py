"""Where the images of a set are: in one tensor, or in files that are read when needed."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset


class ImageSource(Dataset[tuple[Tensor, int]]):
    """A set of labelled images; ``labels`` is (N,) int64."""

    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """The image (C, H, W) as uint8, and its label."""

    @abstractmethod
    def subset(self, indices: Tensor) -> "ImageSource":
        """The images of these indices, in this order."""


class TensorSource(ImageSource):
    """Small images in one tensor.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) integers.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        if images.dtype != torch.uint8 or images.dim() != 4 or len(images) != len(labels):
            raise ValueError(
                f"images must be (N, C, H, W) uint8 with one label each, but got {tuple(images.shape)} {images.dtype} "
                f"and {len(labels)} labels"
            )
        self.images, self.labels = images, labels.long()

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])

    def subset(self, indices: Tensor) -> "TensorSource":
        return TensorSource(self.images[indices], self.labels[indices])


class FileSource(ImageSource):
    """Pictures in files, read one at a time.

    Args:
        paths: of the pictures.
        labels: one integer each.
        transform: from an RGB picture to one of the size that the network takes; None leaves it as it is.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Sequence[int],
        transform: Callable[[Image.Image], Image.Image] | None = None,
    ) -> None:
        self.paths, self.transform = list(paths), transform
        self.labels = torch.tensor(labels, dtype=torch.int64)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = read_picture(self.paths[index])
        return picture_to_tensor(self.transform(picture) if self.transform else picture), int(self.labels[index])

    def subset(self, indices: Tensor) -> "FileSource":
        chosen = indices.tolist()
        return FileSource([self.paths[i] for i in chosen], self.labels[indices].tolist(), self.transform)


def read_picture(path: Path) -> Image.Image:
    """The RGB picture in a file; a file that is no whole picture is named."""
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except PermissionError as error:
        raise PermissionError(f"no permission to read {path}: change its access rights") from error
    except OSError as error:
        raise ValueError(f"{path} is truncated or no picture ({error}): replace or remove it") from error


def picture_to_tensor(picture: Image.Image) -> Tensor:
    """(C, H, W) uint8."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
