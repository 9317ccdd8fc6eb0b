"""Published weights reach their known accuracy on real pictures; skipped where the shared data are missing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from networks import IMAGENET_MEAN, IMAGENET_STD, CifarResNet, Network, TorchvisionClassifier, load_weights

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
# Trained by Caffe's convention: bytes minus a mean, not divided.
SQUEEZENET_MEAN = (123 / 255, 117 / 255, 104 / 255)
SQUEEZENET_STD = (1 / 255, 1 / 255, 1 / 255)


def found(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"there is no {name} in the shared data")
    return DATA / name


@torch.inference_mode()
def correct(network: Network, images: Tensor, labels: Tensor) -> int:
    """How many of the images (N, C, H, W) are classified correctly."""
    network.eval().to(memory_format=torch.channels_last)  # three times as fast on a CPU
    batches = zip(images.split(25), labels.split(25), strict=True)
    return sum(int((network(batch).argmax(1) == truth).sum()) for batch, truth in batches)


@pytest.fixture(scope="module")
def cifar10() -> tuple[Tensor, Tensor]:
    """The first 1,000 test images, not compressed, and their classes."""
    file = np.load(found("cifar10/cifar10_true_pixels_3000.npz"))
    images = torch.from_numpy(file["test_x"]).permute(0, 3, 1, 2) / 255  # (N, 3, 32, 32)
    return images, torch.from_numpy(file["test_y"]).long()


@pytest.mark.parametrize(("depth", "per_thousand"), [(20, 915), (32, 928), (56, 926)])
def test_cifar_resnets(depth: int, per_thousand: int, cifar10: tuple[Tensor, Tensor]) -> None:
    path = found(f"cifar10_models/resnet{depth}.th")
    network = CifarResNet(depth, mean=IMAGENET_MEAN, std=IMAGENET_STD, weights=str(path))
    assert correct(network, *cifar10) == pytest.approx(per_thousand, abs=1)


def picture(path: Path, size: int) -> Tensor:
    """The centre (3, size, size) of a picture, in [0, 1]."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    left, top = (rgb.width - size) // 2, (rgb.height - size) // 2
    pixels = np.array(rgb.crop((left, top, left + size, top + size)))
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255


def test_squeezenet_on_imagenet_pictures() -> None:
    synsets = [line.split()[0] for line in found("imagenet_synsets.txt").read_text().splitlines()]
    pictures = sorted(found("imagenet_sample").glob("*/*.jpg"))
    assert len(pictures) == 750
    paths = pictures[::5]
    weights = found("imagenet_models/squeezenet1_0.pth")
    network = TorchvisionClassifier("squeezenet1_0", 1000, SQUEEZENET_MEAN, SQUEEZENET_STD, str(weights))
    hits = 0
    for some in (paths[start : start + 50] for start in range(0, len(paths), 50)):
        images = torch.stack([picture(path, 227) for path in some])  # (N, 3, 227, 227)
        hits += correct(network, images, torch.tensor([synsets.index(path.parent.name) for path in some]))
    assert hits == pytest.approx(97, abs=1)  # of 150; 488 of all 750


def test_published_torchscript_is_refused() -> None:
    with pytest.raises(ValueError, match="mobilenet_v2_1.0_224.ts is a TorchScript program"):
        load_weights(CifarResNet(8), found("imagenet_models/mobilenet_v2_1.0_224.ts"))
