"""What the tests of attacks share: models with known answers, a trained network, and a wrapper that counts passes."""

import copy

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn


class Affine(nn.Module):
    """Scores that are affine in the pixels, so that every exact answer has a closed form."""

    def __init__(self, classes=5, shape=(2, 3, 3), seed=0, dtype=torch.float64):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        components = torch.Size(shape).numel()
        self.weight = nn.Parameter(torch.randn(classes, components, generator=generator, dtype=dtype))
        self.bias = nn.Parameter(-self.weight.detach().sum(1) / 2)  # balanced round grey

    def forward(self, images):
        return nn.functional.linear(images.flatten(1), self.weight, self.bias)


class Unfoolable(nn.Module):
    """Class 2 of four wins by far, and the gradients lead nowhere new."""

    def forward(self, images):
        tilt = 1e-3 * images.flatten(1)[:, :4].tanh()
        return tilt + torch.tensor([0.0, -5.0, 9.0, -7.0], dtype=images.dtype)


class ZeroGradient(nn.Module):
    """Scores that are attached to the images, but do not change with them."""

    def forward(self, images):
        return 0 * images.flatten(1)[:, :4] + torch.tensor([0.0, -5.0, 9.0, -7.0], dtype=images.dtype)


class Counting(nn.Module):
    """Counts the images that go forwards through a model, and backwards."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.forwards = 0
        self.backwards = 0

    def forward(self, images):
        assert len(images), "a model need not bear an empty batch"
        self.forwards += len(images)
        return self.model(CountBackward.apply(images, self))


class CountBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images, counting):
        ctx.counting = counting
        return images.view_as(images)

    @staticmethod
    def backward(ctx, gradient):
        ctx.counting.backwards += len(gradient)
        return gradient, None


class DigitsNet(nn.Module):
    """A small network with everything that an attack may disturb."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Flatten(),
            nn.Linear(512, 10),
        )

    def forward(self, images):
        return self.layers(images - 0.3)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def affine():
    return Affine


@pytest.fixture
def unfoolable():
    return Unfoolable()


@pytest.fixture
def zero_gradient():
    return ZeroGradient()


@pytest.fixture
def counting():
    return Counting


@pytest.fixture(scope="session")
def digits():
    """Pixels in [0, 1], many of them exactly 0 or 1, and classes: to train on, and to test on."""
    data = load_digits()
    images = torch.from_numpy(data.images).float().unsqueeze(1) / 16  # (N, 1, 8, 8)
    labels = torch.from_numpy(data.target).long()
    return (images[:1200], labels[:1200]), (images[1200:], labels[1200:])


@pytest.fixture(scope="session")
def trained(digits):
    images, labels = digits[0]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DigitsNet()
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(6):
            for batch in torch.randperm(len(images)).split(60):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
                optimizer.step()
    optimizer.zero_grad()
    return network.eval()


@pytest.fixture
def network(trained):
    """A copy of the trained network, which a test may change."""
    return copy.deepcopy(trained)


@pytest.fixture(scope="session")
def correct(digits, trained):
    """Forty images that the trained network has right, and their classes."""
    images, labels = digits[1]
    with torch.no_grad():
        right = trained(images).argmax(1) == labels
    assert right.float().mean() > 0.9
    return images[right][:40], labels[right][:40]
