"""Every network is its paper's: size, shapes, wiring and refusals."""

import copy
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import networks
from networks import (
    CifarDenseNet,
    CifarResNet,
    CifarVGG16,
    Network,
    PreActResNet18,
    PreActResNet18Kuangliu,
    TorchvisionClassifier,
    VanillaConvNet,
    WideResNet,
)

ROOT = Path(__file__).resolve().parents[2]
GREY = {"mean": (0.1307,), "std": (0.3081,)}

# One small network of each kind, for images (2, 3, 32, 32): its options and the shape of its features.
SMALL = {
    "vanilla": (VanillaConvNet, {}, (32, 4, 4)),
    "vanilla without pooling": (VanillaConvNet, {"pools": 0, "width": 8}, (8, 32, 32)),
    "vanilla with global pooling": (VanillaConvNet, {"depth": 5, "global_pool": True}, (32, 4, 4)),
    "vanilla without BatchNorm": (VanillaConvNet, {"batch_norm": False, "bias": False}, (32, 4, 4)),
    "resnet": (CifarResNet, {"depth": 8}, (64, 8, 8)),
    "preact": (PreActResNet18, {}, (512, 4, 4)),
    "preact kuangliu": (PreActResNet18Kuangliu, {}, (512, 4, 4)),
    "wide resnet": (WideResNet, {"depth": 10, "widen_factor": 2, "dropout": 0.3}, (128, 8, 8)),
    "densenet": (CifarDenseNet, {"depth": 10, "growth": 4}, (40, 8, 8)),
    "vgg": (CifarVGG16, {}, (512, 2, 2)),
    "vgg without BatchNorm": (CifarVGG16, {"batch_norm": False, "hidden": 0}, (512, 2, 2)),
    "torchvision": (TorchvisionClassifier, {"name": "mobilenet_v3_small", "num_classes": 10}, (576, 1, 1)),
}
small_networks = pytest.mark.parametrize(("cls", "options", "shape"), SMALL.values(), ids=SMALL)
any_size = [name for name in SMALL if name not in ("vanilla", "vanilla without pooling", "vanilla without BatchNorm")]


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("cls", "options", "count"),
    [
        (VanillaConvNet, {"depth": 3}, 19_584),
        (VanillaConvNet, {"depth": 8}, 66_144),
        (VanillaConvNet, {"depth": 13}, 112_704),
        (VanillaConvNet, {"depth": 18}, 159_264),
        (CifarResNet, {"depth": 20}, 269_072),
        (CifarResNet, {"depth": 32}, 463_504),
        (CifarResNet, {"depth": 110}, 1_727_312),
        (CifarResNet, {"depth": 182}, 2_893_904),
        (CifarDenseNet, {"depth": 40}, 1_015_232),
        (CifarDenseNet, {"depth": 100}, 6_967_952),
        (CifarDenseNet, {"depth": 5}, 432 + (32 + 1_728) + 2 * (56 + 28 * 28) + 56),  # one dense layer
        (PreActResNet18, {}, 11_166_144),
        (PreActResNet18Kuangliu, {}, 11_166_016),
        (WideResNet, {}, 36_479_194 - 6_410),
    ],
)
def test_parameters_without_the_linear_layer(cls: type[Network], options: dict, count: int) -> None:
    with torch.device("meta"):
        network = cls(**options)
    assert parameters(network) - parameters(network.linear) == count


def test_parameters_of_vgg_and_of_embeddings() -> None:
    with torch.device("meta"):
        assert parameters(CifarVGG16(batch_norm=False).convolutions) == 14_714_688
        assert parameters(CifarVGG16().convolutions) == 14_723_136
        assert parameters(CifarVGG16(hidden=0).classifier) == 512 * 10 + 10
        assert parameters(CifarVGG16(hidden=64).classifier) == 513 * 64 + 65 * 64 + 65 * 10
        assert parameters(PreActResNet18(num_classes=10)) == 11_171_274
        assert parameters(PreActResNet18(num_classes=200)) == 11_268_744


def test_filters() -> None:
    def filters(network: nn.Module) -> int:
        return sum(module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d))

    with torch.device("meta"):
        assert filters(CifarResNet(20)) == 688
        assert filters(CifarResNet(110)) == 4_048
        assert filters(CifarVGG16()) == 4_224


@small_networks
def test_two_halves(cls: type[Network], options: dict, shape: tuple[int, ...]) -> None:
    network = cls(**options).eval()
    images = torch.rand(2, 3, 32, 32)
    features = network.features(images)
    untouched = features.clone()
    assert features.shape == (2, *shape)
    torch.testing.assert_close(network.head(features), network(images), rtol=0, atol=0)
    torch.testing.assert_close(features, untouched, rtol=0, atol=0)
    assert network(images).shape == (2, 10)
    assert cls(**options | {"num_classes": 7})(images).shape == (2, 7)


@small_networks
def test_every_parameter_learns_and_images_do_not_mix(cls: type[Network], options: dict, shape: tuple) -> None:
    torch.manual_seed(0)
    network = cls(**options)
    images = torch.rand(4, 3, 32, 32)
    network(images).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    network.eval()
    torch.testing.assert_close(network(images)[:1], network(images[:1]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(copy.deepcopy(network)(images), network(images))


@pytest.mark.parametrize("name", any_size)
@pytest.mark.parametrize("size", [(28, 28), (64, 64), (48, 33)])
def test_other_sizes(name: str, size: tuple[int, int]) -> None:
    cls, options, _ = SMALL[name]
    network = cls(**options).eval()
    images = torch.rand(1, 3, *size)
    assert network.features(images).dim() == 4
    assert network(images).shape == (1, 10)


@pytest.mark.parametrize("cls", [VanillaConvNet, CifarResNet, PreActResNet18, CifarVGG16])
def test_grey_images(cls: type[Network]) -> None:
    options = {"image_size": 28} if cls is VanillaConvNet else {}
    network = cls(**options, **GREY).eval()
    assert network.features(torch.rand(1, 1, 28, 28)).dim() == 4
    assert network(torch.rand(1, 1, 28, 28)).shape == (1, 10)
    with pytest.raises(ValueError, match="one value per channel"):
        network(torch.rand(1, 3, 28, 28))


def test_normalisation_comes_first() -> None:
    network = CifarResNet(8, mean=[0.5, 0.25, 0], std=[0.5, 0.25, 1]).eval()
    plain = CifarResNet(8, mean=[0, 0, 0], std=[1, 1, 1]).eval()
    plain.load_state_dict({**network.state_dict(), **plain.normalize.state_dict(prefix="normalize.")})
    images = torch.rand(2, 3, 32, 32)
    scale = torch.tensor([0.5, 0.25, 1]).view(3, 1, 1)
    shift = torch.tensor([0.5, 0.25, 0]).view(3, 1, 1)
    torch.testing.assert_close(network(images * scale + shift), plain(images))


def test_bytes_are_refused() -> None:
    with pytest.raises(TypeError, match="divide by 255"):
        CifarResNet(8)(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


def test_vanilla_is_its_sequence() -> None:
    network = VanillaConvNet(depth=4, width=2)
    kinds = [type(layer).__name__ for layer in network.convolutions]
    block = ["Conv2d", "BatchNorm2d", "ReLU"]
    assert kinds == [*block, "MaxPool2d", *block, "MaxPool2d", *block, "MaxPool2d", *block]
    assert network.linear.in_features == 2 * 4 * 4
    assert VanillaConvNet(image_size=28).linear.in_features == 32 * 3 * 3


def test_option_a_shortcut() -> None:
    block = CifarResNet(8).layer2[0]
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(1, 16, 5, 5)
    expected = torch.zeros(1, 32, 3, 3)
    expected[:, 8:24] = x[:, :, ::2, ::2]
    torch.testing.assert_close(block(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize(("cls", "activated"), [(PreActResNet18, True), (PreActResNet18Kuangliu, False)])
def test_the_two_preact_shortcuts(cls: type[Network], activated: bool) -> None:
    block = cls().eval().layer1[0]
    nn.init.zeros_(block.conv2.weight)
    nn.init.constant_(block.bn1.bias, -0.5)
    x = torch.rand(1, 64, 4, 4)
    torch.testing.assert_close(block(x), block.bn1(x).relu() if activated else x)


def test_wide_block_keeps_its_input() -> None:
    block = WideResNet(16, 2).eval().layer2[1]
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(1, 64, 4, 4)
    torch.testing.assert_close(block(x), x)


def test_wide_dropout_only_in_training() -> None:
    network = WideResNet(10, 1, dropout=0.5)
    images = torch.rand(2, 3, 32, 32)
    assert not torch.equal(network(images), network(images))
    network.eval()
    torch.testing.assert_close(network(images), network(images))


def test_dense_block_keeps_its_input_in_front() -> None:
    block = CifarDenseNet(10, growth=4).block1
    x = torch.randn(1, 16, 4, 4)
    after = block(x)
    assert after.shape == (1, 16 + 2 * 4, 4, 4)
    torch.testing.assert_close(after[:, :16], x, rtol=0, atol=0)


def test_vgg_pools_as_the_paper_at_32_pixels() -> None:
    network = CifarVGG16(hidden=0).eval()
    features = torch.rand(2, 512, 2, 2)
    pooled = nn.functional.max_pool2d(features, 2).flatten(1)
    torch.testing.assert_close(network.head(features), network.classifier(pooled))
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.convolutions) == 13


def test_he_normal_start() -> None:
    torch.manual_seed(0)
    weight = CifarResNet(8).layer3[0].conv1.weight  # from 32 to 64 channels
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("cls", "options", "words"),
    [
        (CifarResNet, {"depth": 18}, "nearest are 14 and 20"),
        (CifarResNet, {"depth": 50 + 1}, "nearest are 50 and 56"),
        (CifarResNet, {"depth": 2}, "depth=2 .* nearest are 8"),
        (WideResNet, {"depth": 30}, "nearest are 28 and 34"),
        (WideResNet, {"widen_factor": 0}, "widen_factor=0"),
        (WideResNet, {"dropout": 1.0}, "dropout=1.0"),
        (CifarDenseNet, {"depth": 4}, "depth=4 leaves no dense layer"),
        (CifarDenseNet, {"growth": 0}, "growth=0"),
        (CifarVGG16, {"hidden": -1}, "hidden=-1"),
        (VanillaConvNet, {"depth": 0}, "depth=0"),
        (VanillaConvNet, {"width": 0}, "width=0"),
        (VanillaConvNet, {"pools": -1}, "pools=-1"),
        (VanillaConvNet, {"depth": 8, "pools": 6}, "pools=6 .* image_size=32: set fewer pools"),
        (VanillaConvNet, {"mean": (0.5,)}, "one value per channel"),
        (VanillaConvNet, {"std": (0.5, 0.5, 0.0)}, "positive"),
    ],
)
def test_refusals(cls: type[Network], options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cls(**options)


def test_wrong_image_size_is_refused() -> None:
    with pytest.raises(ValueError, match="28x28: set the network's image_size"):
        VanillaConvNet()(torch.rand(1, 3, 28, 28))


@pytest.mark.parametrize("name", [name for name in networks.__all__ if name[0].isupper() and not name.isupper()])
def test_options_fit_a_yaml_file(name: str) -> None:
    options = inspect.signature(getattr(networks, name)).parameters
    if name in ("Network", "Normalize", "Resized", "TorchScriptClassifier"):
        return
    assert list(options)[-4:] == ["num_classes", "mean", "std", "weights"]
    assert all(option.annotation is not option.empty for option in options.values())
    assert all(isinstance(option.default, int | float | str | tuple | None) for option in options.values())


def test_import_leaves_torchvision_alone() -> None:
    program = "import sys, networks; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
