"""Programs in files, and networks for images of another size."""

from pathlib import Path

import pytest
import torch
from torch import nn

from networks import Resized, TorchScriptClassifier

MODELS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "imagenet_models"


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))

    def forward(self, images):
        return self.layers(images)


@pytest.fixture
def plain():
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture
def path(plain, tmp_path):
    torch.jit.trace(plain, torch.rand(2, 3, 8, 8)).save(tmp_path / "small.ts")
    return str(tmp_path / "small.ts")


def test_scores_and_gradients_are_those_of_the_module(plain, path):
    network, images = TorchScriptClassifier(path, image_size=8), torch.rand(5, 3, 8, 8)
    assert not network.training or not network.program.training
    gradients = []
    for model in (plain, network):
        inputs = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(inputs)[:, 1].sum(), inputs)
        gradients.append(gradient)
    torch.testing.assert_close(network(images), plain(images))
    torch.testing.assert_close(*gradients)


def test_a_resized_network_takes_larger_and_smaller_images(plain, path):
    network = Resized(TorchScriptClassifier(path, image_size=8), size=8)
    flat = torch.full((2, 3, 1, 1), 0.3).expand(-1, -1, 16, 12)
    torch.testing.assert_close(network(flat), plain(flat[..., :8, :8]), rtol=1e-4, atol=1e-5)
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(network(images), network.network(images))
    inputs = torch.rand(2, 3, 5, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(inputs).sum(), inputs)
    assert gradient.abs().sum() > 0


def test_refusals(path, tmp_path, plain):
    with pytest.raises(FileNotFoundError, match="there is no TorchScript file"):
        TorchScriptClassifier(str(tmp_path / "missing.ts"))
    torch.save(plain.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="holds no TorchScript program"):
        TorchScriptClassifier(str(tmp_path / "weights.pt"))
    with pytest.raises(ValueError, match=r"small.ts takes images of 8x8, but got 9x9: put it into Resized"):
        TorchScriptClassifier(path, image_size=8)(torch.rand(1, 3, 9, 9))
    with pytest.raises(ValueError, match="size=0"):
        Resized(plain, size=0)


@pytest.mark.parametrize(("name", "size"), [("mobilenet_v1_0.75_192.ts", 192), ("mobilenet_v2_1.0_224.ts", 224)])
def test_published_programs(name, size):
    if not (MODELS / name).exists():
        pytest.skip(f"there is no imagenet_models/{name} in the shared data")
    network = Resized(TorchScriptClassifier(str(MODELS / name), image_size=size), size)
    images = torch.rand(1, 3, 224, 224, requires_grad=True)
    scores = network(images)
    assert scores.shape == (1, 1000)
    (gradient,) = torch.autograd.grad(scores.max(), images)
    assert gradient.abs().sum() > 0
