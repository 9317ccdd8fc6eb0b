"""Write a bank of patches for quilting: ``python -m defenses.patches data/patches_cifar10.pt --root data``.

The patches come from training images, so that no test image is rebuilt from itself.
"""

import argparse
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from defenses.patch_bank import patch_bank


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m defenses.patches", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="where the patches go")
    parser.add_argument("--data", default="datamodules.CIFAR10", metavar="CLASS", help="default: datamodules.CIFAR10")
    parser.add_argument("--root", help="where the data set's own files are")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="OPTION=VALUE", help="more options of it: train=val test_size=160"
    )
    parser.add_argument("--images", type=int, default=0, help="so many training images; default: 0, all")
    parser.add_argument("--per-image", type=int, default=20, help="patches of each image; default: 20")
    parser.add_argument("--size", type=int, default=5, help="side of a patch in pixels; default: 5")
    parser.add_argument("--seed", type=int, default=0, help="of the places; default: 0")
    return parser.parse_args(words)


def training_images(data: str, options: dict[str, Any], count: int) -> Iterator[Tensor]:
    """Batches of the training images of a data module, which is named like a class in a config."""
    module, _, name = data.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"--data={data} names no class ({error}): give one such as datamodules.CIFAR10") from error
    source = kind(**{"val_size": 0, **options})
    source.setup("fit")
    for images, _ in source.plain_dataloader("train", count):
        yield images


def options_of(words: Sequence[str], root: str | None) -> dict[str, Any]:
    """What the data module is made with."""
    options: dict[str, Any] = {} if root is None else {"root": root}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"--set {word} has no value: write {word}=VALUE")
        options[name] = int(value) if value.isdigit() else value
    return options


def write(file: Path, patches: Tensor) -> None:
    """Put a bank where a config looks for it, as a whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.part")
    try:
        torch.save(patches, beside)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def main(words: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    options = parse(words)
    try:
        images = training_images(options.data, options_of(options.set, options.root), options.images)
        patches = patch_bank(images, options.size, options.per_image, options.seed)
        write(options.file, patches)
    except (ValueError, TypeError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{len(patches):,} patches of {options.size}x{options.size} pixels: {options.file}")


if __name__ == "__main__":
    main()
