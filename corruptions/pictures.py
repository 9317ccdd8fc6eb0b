"""Frost for the window: pictures from a folder, or the project's own ice."""

from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from corruptions.ice import ice_picture

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}


class Pictures(ABC):
    """Pictures that a corruption lays over images."""

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def load(self) -> list[Tensor]:
        """The pictures, (H, W, 3) uint8."""


class IceTexture(Pictures):
    """Five pictures of ice crystals that are computed, as bright and as rich in contrast as the benchmark's.

    The error under them is comparable to the published one, but not equal: for that, take the benchmark's pictures.
    """

    def load(self) -> list[Tensor]:
        return _ice()


class PictureFolder(Pictures):
    """The picture files of a folder, in the order of their names.

    Args:
        folder: for the benchmark's own frost, the one with frost1.png … frost6.jpg.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"PictureFolder({self.folder})"

    def load(self) -> list[Tensor]:
        return _read(self.folder)


@lru_cache(maxsize=1)
def _ice() -> list[Tensor]:
    return [torch.from_numpy(ice_picture(number)) for number in range(5)]


@lru_cache(maxsize=4)
def _read(folder: Path) -> list[Tensor]:
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(
            f"folder={folder} holds no picture ({', '.join(sorted(SUFFIXES))}): name another one, or leave the option "
            "out for computed ice"
        )
    return [_read_picture(path) for path in paths]


def _read_picture(path: Path) -> Tensor:
    try:
        with Image.open(path) as picture:
            return torch.from_numpy(np.array(picture.convert("RGB")))
    except OSError as error:
        raise ValueError(f"{path} is truncated or no picture ({error}): replace or remove it") from error
