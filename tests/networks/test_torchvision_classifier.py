"""A wrapped torchvision model computes what torchvision does, in two halves."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.transforms.functional import normalize

from networks import IMAGENET_MEAN, IMAGENET_STD, TorchvisionClassifier

# Each family's network, the smallest documented image size and the shape of its features there.
FAMILIES = {
    "alexnet": (63, (256, 1, 1)),
    "vgg11": (32, (512, 1, 1)),
    "vgg11_bn": (32, (512, 1, 1)),
    "googlenet": (64, (1024, 2, 2)),
    "inception_v3": (75, (2048, 1, 1)),
    "resnet18": (64, (512, 2, 2)),
    "resnet50": (64, (2048, 2, 2)),
    "resnext50_32x4d": (64, (2048, 2, 2)),
    "wide_resnet50_2": (64, (2048, 2, 2)),
    "densenet121": (64, (1024, 2, 2)),
    "squeezenet1_0": (64, (512, 3, 3)),
    "squeezenet1_1": (64, (512, 3, 3)),
    "mobilenet_v2": (64, (1280, 2, 2)),
    "mobilenet_v3_small": (64, (576, 2, 2)),
    "mobilenet_v3_large": (64, (960, 2, 2)),
    "efficientnet_b0": (64, (1280, 2, 2)),
}


@pytest.mark.parametrize(("name", "size", "shape"), [(name, *row) for name, row in FAMILIES.items()], ids=FAMILIES)
def test_equals_plain_torchvision(name: str, size: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = TorchvisionClassifier(name, num_classes=7).eval()
    images = torch.rand(2, 3, size, size)
    features = network.features(images)
    untouched = features.clone()
    scores = network.head(features)
    assert features.shape == (2, *shape)
    assert scores.shape == (2, 7)
    torch.testing.assert_close(features, untouched, rtol=0, atol=0)
    torch.testing.assert_close(scores, network(images), rtol=0, atol=0)
    # torchvision is called as a whole: its own forward pass, with torchvision's own normalisation.
    plain = network.model(normalize(images, IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(scores, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["vgg16", "vgg19_bn", "resnet152", "densenet201", "inception_v3", "googlenet"])
def test_larger_ones_are_built_without_auxiliary_parts(name: str) -> None:
    options = {"init_weights": False, "aux_logits": True} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        ours = TorchvisionClassifier(name).model.state_dict()
        theirs = models.get_model(name, weights=None, **options).state_dict()
    assert set(ours) <= set(theirs)
    assert all(key.startswith(("aux", "AuxLogits")) for key in set(theirs) - set(ours))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_half_is_the_normalisation_of_inception_files(name: str) -> None:
    """torchvision turns its usual normalisation into this one inside the pretrained model (``transform_input``)."""
    network = TorchvisionClassifier(name, 5, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)).eval()
    images = torch.rand(1, 3, 80, 80)
    scores = network(images)
    network.model.transform_input = True
    theirs = network.model(normalize(images, IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(scores, theirs, rtol=1e-4, atol=1e-5)


def test_a_replaced_layer_takes_effect() -> None:
    network = TorchvisionClassifier("resnet18", num_classes=2).eval()
    network.model.bn1 = nn.Identity()
    images = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(network(images), network.model(network.normalize(images)))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("renset50", "resnet50"), ("vgg_16", "vgg16"), ("ResNet18", "resnet18"), ("vit_b_16", "[a-z]"), ("", "[a-z]")],
)
def test_unknown_name_shows_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"name='{name}' is no supported .* the nearest are .*{nearest}"):
        TorchvisionClassifier(name)


def test_small_images_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="inception_v3 takes images of at least 75x75, but got 32x32"):
        TorchvisionClassifier("inception_v3", num_classes=2)(torch.rand(1, 3, 32, 32))


def test_grey_images_are_refused() -> None:
    with pytest.raises(ValueError, match="RGB"):
        TorchvisionClassifier(mean=(0.5,), std=(0.5,))
