"""Adversarial images that were crafted before, kept in files."""

import hashlib
import os
import time
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from attacks import Attack
from callbacks.reporting.run_folder import fingerprint
from criteria import Readout
from defenses import Defense

FORMAT = 1  # to be raised when attacks give other results for the same settings: older files are then ignored


@dataclass
class Crafted:
    """Adversarial images of a batch and what they cost.

    Attributes:
        images: (N, C, H, W) in [0, 1].
        costs: forward passes, backward passes and seconds of each image (N, 3), float64 on the CPU; those of the day
            on which it was crafted.
    """

    images: Tensor
    costs: Tensor


def craft(model: nn.Module, attack: Attack, images: Tensor, labels: Tensor) -> Crafted:
    """Attack a batch with its true labels (N,)."""
    started = time.perf_counter()
    result = attack(model, images, labels)
    passes = torch.stack([result.forward_passes, result.backward_passes], dim=1).double().cpu()  # waits for the device
    seconds = torch.full((len(images), 1), (time.perf_counter() - started) / max(len(images), 1), dtype=torch.float64)
    return Crafted(result.images, torch.cat([passes, seconds], dim=1))


class AdversarialCache:
    """Crafts what is not in a folder yet; files there belong to one network, one attack and one image each.

    A file is found by the network's weights, layers and memory (that of a defence, too), the numerical precision, the
    attack's settings, the image's pixels and its label, and the seed where the attack or the network is random. Files
    are written whole or not at all, hold arrays only, and one that is damaged is crafted again.

    Args:
        folder: of the files; it is made when something is written, and may be removed at any time.
        model: that is attacked, in its final weights.
        precision: of the computation, in words.
    """

    def __init__(self, folder: Path, model: nn.Module, precision: str = "32-true") -> None:
        self.model = model
        parts = list(model.modules())
        defenses = [part for part in parts if isinstance(part, Defense)]
        if any(part.random and part.generator is not None for part in defenses):
            raise ValueError(
                "a defence with a generator draws anew in every call, so that nothing of it can be kept: leave out its "
                "generator, or cache"
            )
        seed = seed_of(any(part.random for part in defenses))
        remembered = [bytes_of(part.memory.values()) for part in parts if isinstance(part, Readout)]
        remembered += [bytes_of(part.buffers(recurse=False)) for part in defenses]  # a bank of patches, say
        self.folder = folder / digest(
            str(FORMAT), fingerprint(model.state_dict()), repr(model), precision, seed, *remembered
        )

    def craft(self, attack: Attack, images: Tensor, labels: Tensor) -> Crafted:
        """The adversarial images of a batch (N, C, H, W), those that are missing crafted together."""
        files = self.files(attack, images, labels)
        known = [read(file, images.shape[1:]) for file in files]
        missing = [place for place, one in enumerate(known) if one is None]
        if missing:
            new = craft(self.model, attack, images[missing], labels[missing])
            for place, image, costs in zip(missing, new.images.cpu(), new.costs, strict=True):
                known[place] = Crafted(image, costs)
                write(files[place], image, costs)
        found = [one for one in known if one is not None]
        if not found:
            return Crafted(images, torch.zeros(0, 3, dtype=torch.float64))
        pixels = torch.stack([one.images for one in found]).to(images)
        return Crafted(pixels, torch.stack([one.costs for one in found]))

    def files(self, attack: Attack, images: Tensor, labels: Tensor) -> list[Path]:
        """Where the adversarial versions of images (N, C, H, W) are kept."""
        settings = repr(attack)
        if " at 0x" in settings:
            raise ValueError(
                f"the settings of an attack cannot be told from its words {settings}: give every part of it a "
                "__repr__ that names its options, or leave out cache"
            )
        folder = self.folder / f"{type(attack).__name__.lower()}-{digest(settings, seed_of(attack.random))}"
        pixels = images.detach().float().cpu().contiguous()
        names = (digest(image.numpy().tobytes(), str(int(label))) for image, label in zip(pixels, labels.tolist()))
        return [folder / f"{name}.npz" for name in names]


def bytes_of(tensors: Iterable[Tensor]) -> bytes:
    """Of what stands in no checkpoint, such as the training images that a readout compares with."""
    return b"".join(tensor.cpu().reshape(-1).view(torch.uint8).numpy().tobytes() for tensor in tensors)


def seed_of(random: bool) -> str:
    """The seed, where chance decides."""
    return str(torch.initial_seed()) if random else ""


def digest(*parts: str | bytes) -> str:
    """Sixteen digits that are equal for equal parts only."""
    whole = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        whole.update(hashlib.sha256(content).digest())
    return whole.hexdigest()[:16]


def read(file: Path, shape: Sequence[int]) -> Crafted | None:
    """An adversarial image (C, H, W); None where there is none, or no sound one."""
    if not file.is_file():
        return None
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:  # its sums are checked
            image, costs = torch.from_numpy(content["image"]), torch.from_numpy(content["costs"])
        if image.shape != tuple(shape) or image.dtype != torch.float32 or costs.shape != (3,):
            raise ValueError(f"it holds a {image.dtype} of {tuple(image.shape)}")
        if not bool(((image >= 0) & (image <= 1)).all()):  # which NaN is not either
            raise ValueError("its pixels leave [0, 1]")
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        rank_zero_warn(f"{file} is damaged ({error}): its image is crafted again")
        return None
    return Crafted(image, costs.double())


def write(file: Path, image: Tensor, costs: Tensor) -> None:
    """Put a file in place as a whole; a process that ends half-way leaves none of this name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with beside.open("wb") as stream:
            np.savez(stream, image=image.float().numpy(), costs=costs.numpy())
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
