"""Numbers that tell whether two tests saw the same images, corrupted in the same way."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from callbacks.places import drawn_places
from corruptions import COMMON, EXTRA, PictureFolder, Pictures, Severities

MODULUS = 2**24 - 3  # a prime below 2**24: every fingerprint is exact as a float32, in which metrics are logged


def placed_batches(trainer: Trainer) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """This rank's test batches, and each image's place in the test set, whatever the batch size and the ranks.

    Yields:
        Indices (N,) int64 on the CPU, images (N, C, H, W), labels (N,).
    """
    loader: Any = trainer.test_dataloaders
    loader = loader[0] if isinstance(loader, list | tuple) else loader
    known = drawn_places(trainer, "CorruptionError")
    limit = trainer.num_test_batches[0]
    start = 0
    for place, (images, labels, *_) in enumerate(islice(loader, None if limit == float("inf") else int(limit))):
        yield (torch.arange(start, start + len(labels)) if known is None else known[place]), images, labels
        start += len(labels)


def fingerprint(images: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    """A number () int64 of labelled images in [0, 1] and their places; those of parts add up, modulo MODULUS."""
    places = torch.arange(images[0].numel(), device=images.device) % 65_521 + 1
    parts = [((part.double() * 255).round().long() * places).sum(1) for part in images.flatten(1).split(64)]
    each = torch.cat(parts) + 7_919 * (labels + 1).to(images.device)
    return (each % MODULUS * (indices.to(images.device) % 65_521 + 1)).sum() % MODULUS


def computed_recipe(scale: Severities, pictures: Pictures, seed: int) -> int:
    """A number for how images are corrupted: all severity parameters, the frost pictures, the seed."""
    levels = [(name, getattr(scale, name)) for name in COMMON | EXTRA]
    content = [picture.numpy().tobytes() for picture in pictures.load()] if isinstance(pictures, PictureFolder) else []
    return digest(repr((levels, type(pictures).__name__, seed)).encode(), *content)


def stored_recipe(folder: Path, names: Sequence[str]) -> dict[str, int]:
    """A number for the stored file of each of these corruptions, whatever its folder."""
    numbers = {}
    for name in names:
        with (folder / f"{name}.npy").open("rb") as file:
            numbers[name] = digest(hashlib.file_digest(file, "sha256").digest())
    return numbers


def digest(*parts: bytes) -> int:
    """A number below MODULUS."""
    return int(hashlib.sha256(b"".join(parts)).hexdigest(), 16) % MODULUS
