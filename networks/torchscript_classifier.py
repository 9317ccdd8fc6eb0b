"""A classifier whose program stands in a file."""

import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn


class TorchScriptClassifier(nn.Module):
    """A trained classifier from a TorchScript file, as a black box with gradients: for tests, not for training.

    The file holds its own program, run by TorchScript's interpreter, in which there is no Python and no pickle; take
    files from people whom you trust all the same. It brings its normalisation along, and has no named feature maps.

    Args:
        path: of a file that ``torch.jit.save`` wrote; it takes images in [0, 1] and returns class scores.
        image_size: height and width that it takes; None where any size works.
    """

    def __init__(self, path: str, image_size: int | None = None) -> None:
        super().__init__()
        self.path, self.image_size = path, image_size
        self.program = load_program(Path(path).expanduser())

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (N, num_classes) of images (N, C, H, W) in [0, 1]."""
        if self.image_size is not None and images.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(
                f"{Path(self.path).name} takes images of {self.image_size}x{self.image_size}, but got "
                f"{images.shape[-2]}x{images.shape[-1]}: put it into Resized with size={self.image_size}"
            )
        # The optimiser would compile the program anew for many batch sizes.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            scores: Tensor = self.program(images)
        return scores


def load_program(path: Path) -> nn.Module:
    """The program of a TorchScript file, on the CPU, in eval mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else; nothing is unpickled to find that out.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no TorchScript file {path}: give the path of one")
    if not is_torchscript(path):
        raise ValueError(
            f"{path} holds no TorchScript program: write one with torch.jit.save, or build the network and give it "
            "this file as its weights"
        )
    try:
        program: nn.Module = torch.jit.load(path, map_location="cpu")
    except RuntimeError as error:
        raise ValueError(f"{path} is truncated, or of a newer TorchScript ({error}): save the program again") from error
    return program.eval()


def is_torchscript(path: Path) -> bool:
    """Whether a file is the archive of a program, and not one of tensors or anything else."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
