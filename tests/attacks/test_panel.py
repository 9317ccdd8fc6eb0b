"""Networks that do not take the images, and what is said of them."""

import pytest
import torch
from torch import nn

from attacks.panel import fooling_rates
from networks import Resized, VanillaConvNet

SIZE = r"networks\[1\] does not take images of shape \(3, 8, 8\): .* put a resize before this one \(.*{}.*\)"


class Failing(nn.Module):
    """Raises an error instead of giving scores."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, images):
        raise self.error


class Pooling(nn.Module):
    """Made for images of one size, but takes all."""

    def __init__(self, image_size):
        super().__init__()
        self.image_size = image_size

    def forward(self, images):
        return images.mean((2, 3))


def rates(*networks):
    return fooling_rates(networks, torch.rand(4, 3, 8, 8), torch.full((3, 8, 8), 0.1))


@pytest.mark.parametrize("error", [RuntimeError, ValueError, AssertionError])
def test_a_network_that_fails_needs_a_resize(error):
    with pytest.raises(ValueError, match=SIZE.format("mat1 and mat2")) as found:
        rates(Pooling(None), Failing(error("mat1 and mat2")))
    assert isinstance(found.value.__cause__, error)


def test_a_network_of_a_declared_size_needs_a_resize():
    for other in (Pooling(16), VanillaConvNet(width=4, image_size=16)):
        with pytest.raises(ValueError, match=SIZE.format("image_size is 16")):
            rates(Pooling(None), other)
        rates(Pooling(8), Resized(other, 16))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), TypeError("no size")])
def test_other_errors_come_through(error):
    with pytest.raises(type(error)) as found:
        rates(Failing(error))
    assert found.value is error


@pytest.mark.parametrize(("moved", "words"), [({"dtype": torch.bfloat16}, "dtype"), ({"device": "meta"}, "device")])
def test_another_precision_or_device_is_no_matter_of_size(moved, words):
    with pytest.raises(RuntimeError, match=words):
        rates(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)).to(**moved))
    with pytest.raises(ValueError, match="put a resize before this one"):
        rates(nn.Sequential(nn.Flatten(), nn.Linear(191, 10)))


def test_scores_of_a_wrong_shape_are_no_matter_of_size():
    with pytest.raises(ValueError, match="the model returned scores of shape"):
        rates(nn.Flatten(0))
