"""Writing a folder of corrupted images in the benchmark's layout."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import scipy
import torch
from PIL import features
from torch import Tensor

from corruptions.catalogue import COMMON, corruption
from corruptions.corruption import SEVERITIES, check_images
from corruptions.pictures import IceTexture, Pictures
from corruptions.severities import CifarSeverities, Severities
from corruptions.stored import LABELS
from corruptions.weather import Frost

BATCH = 500
RECIPE = "made.json"
PICTURES = "pictures_sha256"  # in the recipe of frost alone


def write_corrupted(
    folder: str | Path,
    images: Tensor,
    labels: Tensor,
    names: Sequence[str] = tuple(COMMON),
    scale: Severities | None = None,
    pictures: Pictures | None = None,
    seed: int = 0,
) -> None:
    """Write one file per corruption, all five severities in it, and the labels.

    Args:
        folder: is made where it is missing; files that are complete already are kept.
        images: (N, C, H, W) uint8.
        labels: (N,) from 0 to 255.
        names: of the corruptions, in COMMON or EXTRA.
        scale: the benchmark whose parameters are meant; CIFAR's by default.
        pictures: of frost; computed ones by default. They are read first, where frost is among the names.
        seed: of everything random.
    """
    folder, scale, pictures = Path(folder), scale or CifarSeverities(), pictures or IceTexture()
    kinds = {name: [corruption(name, severity, scale, pictures) for severity in SEVERITIES] for name in names}
    check_images(images, labels)
    if not len(images):
        raise ValueError("there are no images to corrupt: give at least one")
    if images.dtype != torch.uint8 or not 0 <= int(labels.min()) <= int(labels.max()) <= 255:
        raise ValueError(
            f"images are {images.dtype} and labels go from {int(labels.min())} to {int(labels.max())}: the files hold "
            "bytes, so give uint8 and at most 256 classes"
        )
    recipe = _recipe(images, labels, scale, seed) | (_of_pictures(pictures) if Frost.name in names else {})
    folder.mkdir(parents=True, exist_ok=True)
    made = _made_before(folder, recipe, names)
    indices = torch.arange(len(images))
    _save(folder, LABELS, made, (len(SEVERITIES) * len(labels),), [labels.numpy().astype(np.uint8)] * len(SEVERITIES))
    for name in names:
        if name in made["sha256"]:
            continue
        started = time.perf_counter()
        parts = (
            each.apply(part, index, seed).permute(0, 2, 3, 1).numpy()
            for each in kinds[name]
            for part, index in zip(images.split(BATCH), indices.split(BATCH))
        )
        _save(folder, name, made, (len(SEVERITIES) * len(images), *images.shape[2:], images.shape[1]), parts)
        print(f"{name}: {len(SEVERITIES)} x {len(images)} images in {time.perf_counter() - started:.1f} s")


def _recipe(images: Tensor, labels: Tensor, scale: Severities, seed: int) -> dict[str, Any]:
    """What decides about all files' contents, as plain data."""
    data = hashlib.sha256(images.contiguous().numpy().tobytes() + labels.numpy().astype(np.uint8).tobytes())
    return {
        "data_sha256": data.hexdigest(),
        "scale": type(scale).__name__,
        "seed": seed,
        "versions": {
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "pillow": PIL.__version__,
            "libjpeg_turbo": features.version_feature("libjpeg_turbo"),
        },
    }


def _of_pictures(pictures: Pictures) -> dict[str, str]:
    """What else decides about frost: the pictures' pixels, wherever they are."""
    content = hashlib.sha256()
    for picture in pictures.load():
        content.update(repr(picture.shape).encode() + picture.numpy().tobytes())
    return {PICTURES: content.hexdigest()}


def _made_before(folder: Path, recipe: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The folder's record, with the files that are complete; refuses files that were made otherwise."""
    path = folder / RECIPE
    made: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else recipe | {"sha256": {}}
    made["sha256"] = {name: sha for name, sha in made["sha256"].items() if (folder / f"{name}.npy").exists()}
    if PICTURES in recipe and Frost.name not in made["sha256"]:
        made[PICTURES] = recipe[PICTURES]  # there is no frost yet that would have others
    different = [key for key in recipe if made.get(key) != recipe[key]]
    if different:
        raise ValueError(
            f"folder={folder} was written with a different recipe ({', '.join(different)}): name another folder or "
            "remove it"
        )
    strange = [name for name in (*names, LABELS) if (folder / f"{name}.npy").exists() and name not in made["sha256"]]
    if strange:
        raise ValueError(f"folder={folder} holds {strange[0]}.npy from elsewhere: name another folder")
    return made


def _save(folder: Path, name: str, made: dict[str, Any], shape: tuple[int, ...], parts: Iterable[np.ndarray]) -> None:
    """Write an array part by part under another name, and give it its own when it is complete."""
    path, unfinished, record = (folder / file for file in (f"{name}.npy", f"{name}.npy.part", f"{RECIPE}.part"))
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    try:
        with unfinished.open("wb+") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                file.write(part.tobytes())
            file.seek(0)
            made["sha256"][name] = hashlib.file_digest(file, "sha256").hexdigest()
        # The record first: what it names is complete or missing, never half there.
        record.write_text(json.dumps(made, indent=2) + "\n")
        os.replace(record, folder / RECIPE)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
