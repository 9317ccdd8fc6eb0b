"""Universal perturbations in files: one's own, and published ones."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

NAME = "perturbation"  # of the array in a file of one's own


def save_perturbation(perturbation: Tensor, path: str | Path) -> None:
    """Write a perturbation (C, H, W), in pixels scaled to [0, 1].

    Args:
        perturbation: (C, H, W).
        path: ends in ``.npz``, or in ``.safetensors`` where that package is installed.
    """
    path = Path(path)
    _check_layout(perturbation, path)
    values = perturbation.detach().cpu().contiguous()
    if path.suffix == ".npz":
        np.savez(path, perturbation=values.numpy())
    elif path.suffix == ".safetensors":
        _safetensors(path).save_file({NAME: values}, path)
    else:
        raise ValueError(f"{path}: a perturbation is saved as .npz or .safetensors, so give one of these endings")


def load_perturbation(path: str | Path, shape: tuple[int, ...] | None = None) -> Tensor:
    """Read a perturbation (C, H, W), in pixels scaled to [0, 1].

    ``.npz`` and ``.safetensors`` are what ``save_perturbation`` writes. Published ``.mat`` and ``.npy`` files (those of
    Moosavi-Dezfooli et al. 2017, arXiv 1610.08401, and of Kühne and Tödtli) hold H, W, C on the scale from 0 to 255.

    Args:
        path: of the file.
        shape: (C, H, W) of the images it is meant for; another one is refused.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no perturbation file {path}: give the path of one")
    readers = {".npz": _npz, ".safetensors": _safe, ".mat": _mat, ".npy": _npy}
    if path.suffix not in readers:
        raise ValueError(f"{path}: a perturbation is read from {', '.join(readers)}, so give one of these")
    perturbation = readers[path.suffix](path)
    _check_layout(perturbation, path)
    if shape is not None:
        check_shape(perturbation, shape, path)
    return perturbation


def check_shape(perturbation: Tensor, shape: Sequence[int], path: Path) -> None:
    """Refuse a perturbation for images of another shape (C, H, W)."""
    if tuple(perturbation.shape) != tuple(shape):
        raise ValueError(
            f"{path} holds a perturbation of shape {tuple(perturbation.shape)}, the images have {tuple(shape)}: give a "
            "file made for this size, or resize the images"
        )


def _npz(path: Path) -> Tensor:
    with np.load(path, allow_pickle=False) as file:
        if NAME not in file:
            raise ValueError(f"{path} holds {sorted(file)}, not {NAME!r}: give a file that save_perturbation wrote")
        return torch.from_numpy(file[NAME])


def _safe(path: Path) -> Tensor:
    tensors: dict[str, Tensor] = _safetensors(path).load_file(path)
    if NAME not in tensors:
        raise ValueError(f"{path} holds {sorted(tensors)}, not {NAME!r}: give a file that save_perturbation wrote")
    return tensors[NAME]


def _npy(path: Path) -> Tensor:
    return _published(np.load(path, allow_pickle=False), path)


def _mat(path: Path) -> Tensor:
    from scipy.io import loadmat

    arrays = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    if len(arrays) != 1:
        raise ValueError(f"{path} holds {sorted(arrays)}: a published perturbation is a single array")
    return _published(next(iter(arrays.values())), path)


def _published(array: Any, path: Path) -> Tensor:
    """(C, H, W) in pixels scaled to [0, 1], from H, W, C in bytes, with an axis in front perhaps."""
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3):
        raise ValueError(f"{path} holds an array of shape {array.shape}: a published perturbation is (H, W, 1 or 3)")
    return torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1).contiguous() / 255


def _check_layout(perturbation: Tensor, path: Path) -> None:
    if perturbation.dim() != 3 or not perturbation.is_floating_point() or not bool(perturbation.isfinite().all()):
        raise ValueError(
            f"{path}: a perturbation holds finite floating-point numbers (C, H, W), not {perturbation.dtype} of shape "
            f"{tuple(perturbation.shape)}"
        )


def _safetensors(path: Path) -> Any:
    try:
        return importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise ValueError(f"{path}: the package safetensors is not installed; install it or use .npz") from error
