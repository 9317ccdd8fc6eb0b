"""Write corrupted test images to a folder like CIFAR-10-C's: ``python -m corruptions.write FOLDER --root data``.

It can be interrupted: the same command goes on where it stopped. Beside the images it writes ``made.json`` with the
recipe, the versions of the libraries that matter and each file's SHA-256.
"""

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from corruptions import severities
from corruptions.catalogue import COMMON, EXTRA
from corruptions.pictures import PictureFolder
from corruptions.severities import Severities
from corruptions.writing import write_corrupted


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m corruptions.write", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--data", default="datamodules.CIFAR10", metavar="CLASS", help="default: datamodules.CIFAR10")
    parser.add_argument("--root", type=Path, help="where the data set's own files are")
    parser.add_argument("--names", nargs="+", default=list(COMMON), metavar="NAME", help="default: all 15 common ones")
    parser.add_argument("--extra", action="store_true", help=f"also {', '.join(EXTRA)}")
    scales = [kind.__name__ for kind in Severities.__subclasses__()]
    parser.add_argument("--scale", default="CifarSeverities", choices=scales, help="default: CifarSeverities")
    parser.add_argument("--frost", type=Path, metavar="FOLDER", help="pictures of frost; default: computed ice")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    return parser.parse_args(words)


def images_of(data: str, root: Path | None) -> tuple[Tensor, Tensor]:
    """The test images and labels of a data module, which is named like a class in a config."""
    module, _, name = data.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"--data={data} names no class ({error}): give one such as datamodules.CIFAR10") from error
    source = kind(**({} if root is None else {"root": root})).read(train=False)
    if not hasattr(source, "images"):
        raise ValueError(f"--data={data} has images of many sizes: give a data set whose images are one tensor")
    return source.images, source.labels


def main(words: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    options = parse(words)
    names = [*options.names, *(name for name in EXTRA if options.extra)]
    scale = getattr(severities, options.scale)()
    pictures = PictureFolder(options.frost) if options.frost else None
    try:
        images, labels = images_of(options.data, options.root)
        write_corrupted(options.folder, images, labels, names, scale, pictures, options.seed)
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
