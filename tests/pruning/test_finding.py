"""Where filters are, in every architecture of the house and in odd ones; what can't be followed is refused."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from networks import (
    CifarDenseNet,
    CifarResNet,
    CifarVGG16,
    PreActResNet18,
    PreActResNet18Kuangliu,
    TorchvisionClassifier,
    VanillaConvNet,
    WideResNet,
)
from pruning import Site, entries, find_sites, remove


def table(network, size=32):
    """By convolution: its normalisation layers with the first channel in them, and the weights that read its maps."""
    sites, _ = find_sites(network, torch.zeros(1, 3, size, size))
    return {
        site.name: (
            [(norm.weight.removesuffix(".weight"), norm.channels[0]) for norm in site.norms],
            [read.weight.removesuffix(".weight") for read in site.columns],
        )
        for site in sites
    }


def test_vanilla():
    assert table(VanillaConvNet()) == {
        "convolutions.0": ([("convolutions.1", 0)], ["convolutions.4"]),
        "convolutions.4": ([("convolutions.5", 0)], ["convolutions.8"]),
        "convolutions.8": ([("convolutions.9", 0)], ["linear"]),
    }
    assert table(VanillaConvNet(2, batch_norm=False, global_pool=True))["convolutions.3"] == ([], ["linear"])


def test_vgg():
    found = table(CifarVGG16())
    convolutions = [index for index, layer in enumerate(CifarVGG16().convolutions) if isinstance(layer, nn.Conv2d)]
    following = [f"convolutions.{index}" for index in convolutions[1:]] + ["classifier.1"]
    assert found == {
        f"convolutions.{index}": ([(f"convolutions.{index + 1}", 0)], [reader])
        for index, reader in zip(convolutions, following)
    }


def test_post_activation_resnet():
    found = table(CifarResNet(14))
    assert len(found) == 13
    assert found["conv1"] == ([("bn1", 0)], ["layer1.0.conv1"])
    for name in ("layer1.0", "layer2.1", "layer3.0"):
        assert found[f"{name}.conv1"] == ([(f"{name}.bn1", 0)], [f"{name}.conv2"])
        assert found[f"{name}.conv2"][0] == [(f"{name}.bn2", 0)]
    assert found["layer1.0.conv2"][1] == []  # its maps are added to others


@pytest.mark.parametrize("cls", [PreActResNet18, PreActResNet18Kuangliu])
def test_preact_resnet(cls):
    found = table(cls(), 8)
    assert len(found) == 20
    own_stem_norm = cls is PreActResNet18
    norms = [("bn1", 0)] if own_stem_norm else []
    assert found["conv1"][0] == [*norms, ("layer1.0.bn1", 0)]
    assert found["layer2.0.conv1"] == ([("layer2.0.bn2", 0)], ["layer2.0.conv2"])
    assert found["layer2.0.conv2"] == ([], [])
    assert found["layer2.0.shortcut.0"] == ([], [])


def test_wide_resnet():
    found = table(WideResNet(10, 1))
    assert found["conv1"] == ([("layer1.0.bn1", 0)], ["layer1.0.conv1"])  # the identity adds them to others
    assert found["layer1.0.conv1"] == ([("layer1.0.bn2", 0)], ["layer1.0.conv2"])
    assert found["layer2.0.conv2"] == found["layer2.0.shortcut"] == ([], [])


def test_densenet_has_slices_in_every_later_norm_of_the_block():
    found = table(CifarDenseNet(13, growth=4))
    assert found["block1.0.conv"][0] == [("block1.1.bn", 16), ("block1.2.bn", 16), ("transition1.bn", 16)]
    assert found["block1.2.conv"][0] == [("transition1.bn", 24)]
    assert found["transition1.conv"][0] == [(f"block2.{layer}.bn", 0) for layer in range(3)] + [("transition2.bn", 0)]
    assert found["block3.1.conv"] == ([("block3.2.bn", 44), ("bn", 44)], ["block3.2.conv", "linear"])


def test_own_norms_start_anew_and_shared_ones_do_not():
    def own(network, name):
        sites, _ = find_sites(network, torch.zeros(1, 3, 32, 32))
        return [norm.own for site in sites if site.name == name for norm in site.norms]

    assert own(VanillaConvNet(), "convolutions.4") == [True]
    assert own(PreActResNet18(), "conv1") == [True, False]
    assert own(CifarDenseNet(10, 4), "block1.0.conv") == [False, False]
    assert own(CifarDenseNet(10, 4), "conv1") == [True, False, False]


@pytest.mark.parametrize(
    ("name", "convolutions", "filters"),
    [
        ("resnet18", 20, 4_800),
        ("resnext50_32x4d", 53, 34_112),
        ("vgg11", 8, 2_752),
        ("vgg11_bn", 8, 2_752),
        ("googlenet", 57, 7_280),
        ("inception_v3", 94, 17_216),
        ("densenet121", 120, 10_240),
    ],
)
def test_all_convolutions_of_torchvision(name, convolutions, filters):
    sites, left_out = find_sites(TorchvisionClassifier(name, 5), torch.zeros(1, 3, 80, 80))
    assert (len(sites), sum(site.filters for site in sites), left_out) == (convolutions, filters, {})


def test_torchvision_blocks():
    found = table(TorchvisionClassifier("googlenet", 5), 64)
    block = "model.inception4a"
    assert found[f"{block}.branch2.1.conv"][0] == [(f"{block}.branch2.1.bn", 0)]
    assert found[f"{block}.branch2.1.conv"][1] == [
        f"model.inception4b.{reader}.conv" for reader in ("branch1", "branch2.0", "branch3.0", "branch4.1")
    ]
    found = table(TorchvisionClassifier("densenet121", 5), 64)
    block = [f"denseblock1.denselayer{layer}.norm1" for layer in range(1, 7)]
    norms = [(f"model.features.{name}", 0) for name in ("norm0", *block, "transition1.norm")]
    assert found["model.features.conv0"][0] == norms


def test_depthwise_filters_leave_with_the_maps_that_they_filter():
    sites, left_out = find_sites(TorchvisionClassifier("mobilenet_v2", 5), torch.zeros(1, 3, 64, 64))
    assert len(sites) == 35
    assert len(left_out) == 17
    assert {reason.split(":")[0] for reason in left_out.values()} == {"it is depthwise"}
    by_name = {site.name: site for site in sites}
    block = "model.features.5.conv"
    assert [norm.weight for norm in by_name[f"{block}.0.0"].norms] == [f"{block}.0.1.weight", f"{block}.1.1.weight"]


def test_gates_and_class_scores_stay():
    _, left_out = find_sites(TorchvisionClassifier("mobilenet_v3_small", 5), torch.zeros(1, 3, 64, 64))
    gates = [name for name, reason in left_out.items() if "hardsigmoid" in reason]
    assert gates == [name for name in left_out if name.endswith("fc2")]
    _, left_out = find_sites(TorchvisionClassifier("squeezenet1_1", 5), torch.zeros(1, 3, 64, 64))
    assert left_out == {"model.classifier.1": "its maps are what the network returns"}


def test_sites_are_plain_data():
    for network in (CifarDenseNet(10, 4), TorchvisionClassifier("mobilenet_v2", 5)):
        for site in find_sites(network, torch.zeros(1, 3, 32, 32)).sites:
            assert Site.from_data(site.as_data()) == site
            json.dumps(site.as_data())


class Odd(nn.Module):
    """Two convolutions, and between them what a test wants to see."""

    def __init__(self, between):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.unscaled = nn.BatchNorm2d(8, affine=False)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.extra = nn.Conv2d(3, 8, 1)
        self.layer_norm, self.group_norm = nn.LayerNorm([8, 8]), nn.GroupNorm(2, 8)
        self.offset = nn.Parameter(torch.zeros(1, 8, 1, 1))
        self.conv2 = nn.Conv2d(8, 4, 1)
        self.between = between

    def forward(self, images):
        maps = self.conv2(self.between(self, self.bn1(self.conv1(images)), images))
        return maps.mean(dim=(2, 3)) @ torch.ones(4, 2)


def shuffle(net, x, images):
    n, c, h, w = x.shape
    return net.bn2(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))


def write_in_place(net, x, images):
    y = net.bn2(F.relu_(x))
    y *= 2
    y += 0.0
    return y


def swap_halves(net, x, images):
    return net.bn2(torch.cat(x.chunk(2, 1)[::-1], 1))


def drop_two(net, x, images):
    return net.bn2(F.pad(x[:, :6], (0, 0, 0, 0, 1, 1)))


def use_norm_for_images(net, x, images):
    return net.bn2(x) + net.bn2(images[:, :1].expand(-1, 8, -1, -1))


def double_unseen(net, x, images):
    return torch.from_dlpack(torch.utils.dlpack.to_dlpack(x)) * 2


def choose_by_values(net, x, images):
    return x if x.sum() > 0 else -x


def mix_channels(net, x, images):
    return net.bn2((x.permute(0, 2, 3, 1) @ torch.ones(8, 8)).permute(0, 3, 1, 2))


def filter_by_computed_weights(net, x, images):
    return net.bn2(F.conv2d(x, net.offset.tanh().view(8, 1, 1, 1), groups=8))


SAME = list(range(8))
FOLLOWED = {
    "in place": (write_in_place, {"bn1": SAME, "bn2": SAME}),
    "two norms": (lambda net, x, images: net.bn2(F.silu(x)), {"bn1": SAME, "bn2": SAME}),
    "norm without scale": (lambda net, x, images: net.unscaled(x), {"bn1": SAME, "unscaled": SAME}),
    "shuffle": (shuffle, {"bn1": SAME, "bn2": [0, 2, 4, 6, 1, 3, 5, 7]}),
    "flip": (lambda net, x, images: net.bn2(x.flip(1)), {"bn1": SAME, "bn2": SAME[::-1]}),
    "halves": (swap_halves, {"bn1": SAME, "bn2": [4, 5, 6, 7, 0, 1, 2, 3]}),
    "constants": (lambda net, x, images: net.bn2(2 * x.clamp(min=0) / 3), {"bn1": SAME, "bn2": SAME}),
    "depthwise": (lambda net, x, images: net.bn2(net.depthwise(x)), {"bn1": SAME, "bn2": SAME}),
    "padding": (lambda net, x, images: net.bn2(F.pad(x, (1, 1, 1, 1))), {"bn1": SAME, "bn2": SAME}),
    "sum with itself": (lambda net, x, images: net.bn2(x + F.relu(x)), {"bn1": SAME, "bn2": SAME}),
    "product": (lambda net, x, images: net.bn2(x * net.extra(images)), {"bn1": SAME, "bn2": SAME}),
    "gate": (lambda net, x, images: net.bn2(x * net.extra(images).sigmoid()), {"bn1": SAME, "bn2": SAME}),
    "two dropped": (drop_two, {"bn1": SAME, "bn2": SAME[1:7]}),
    "centred maps": (lambda net, x, images: net.bn2(x - x.mean((2, 3), keepdim=True)), {"bn1": SAME, "bn2": SAME}),
    "sum of channels": (lambda net, x, images: net.bn2(x.sum(1, keepdim=True).expand_as(x)), {"bn1": SAME}),
    "matrix of channels": (mix_channels, {"bn1": SAME}),
    "end in a sum": (lambda net, x, images: net.bn2(x + net.extra(images)), {"bn1": SAME}),
}
LEFT_OUT = {
    "sigmoid": (lambda net, x, images: x.sigmoid(), "'sigmoid'"),
    "cosine": (lambda net, x, images: x.cos(), "'cos'"),
    "softmax": (lambda net, x, images: x.softmax(1), "'softmax'"),
    "constant": (lambda net, x, images: x + 1, "'add'"),
    "parameter": (lambda net, x, images: x + net.offset, "'add'"),
    "layer norm": (lambda net, x, images: net.layer_norm(x), "'layer_norm'"),
    "group norm": (lambda net, x, images: net.group_norm(x), "'group_norm'"),
    "norm of others": (lambda net, x, images: net.bn2(x) + net.bn2(net.extra(images)), "bn2.weight treats"),
    "norm of images": (use_norm_for_images, "bn2.weight treats"),
    "quotient": (lambda net, x, images: x / net.extra(images), "'div'"),
    "mean over channels": (lambda net, x, images: net.bn2(x.mean(1, keepdim=True).expand_as(x)), "'mean'"),
    "matrix of columns": (lambda net, x, images: net.bn2(x @ torch.ones(8, 8)), "'matmul'"),
    "linear in columns": (lambda net, x, images: net.bn2(F.linear(x, torch.ones(8, 8))), "'linear'"),
    "own filter weights": (filter_by_computed_weights, "'conv2d'"),
    "sorted": (lambda net, x, images: x.sort(1).values, "'sort'"),
}


@pytest.mark.parametrize(("between", "norms"), FOLLOWED.values(), ids=FOLLOWED)
def test_followed(between, norms):
    found = find_sites(Odd(between), torch.zeros(2, 3, 8, 8))
    site = next(site for site in found.sites if site.name == "conv1")
    names = [(norm.weight or norm.mean).split(".")[0] for norm in site.norms]
    assert {name: list(norm.channels) for name, norm in zip(names, site.norms)} == norms


@pytest.mark.parametrize("between", [rule for rule, norms in FOLLOWED.values() if len(norms) > 1])
def test_removed_maps_are_zero_to_the_end(between, some, lively):
    network = lively(Odd(between))
    sites = find_sites(network, torch.zeros(1, 3, 8, 8)).sites
    chosen = {"conv1": some(sites)["conv1"]}
    channels = next(site for site in sites if site.name == "conv1").norms[-1].channels_of(chosen["conv1"])
    remove(network, entries(sites, chosen))
    read = {}
    network.conv2.register_forward_pre_hook(lambda module, inputs: read.update(maps=inputs[0]))
    for training in (False, True):
        network.train(training)(torch.rand(4, 3, 8, 8))
        assert channels
        assert not read["maps"][:, channels].any()


@pytest.mark.parametrize(("between", "reason"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_left_out(between, reason):
    found = find_sites(Odd(between), torch.zeros(1, 3, 8, 8))
    assert "conv1" not in [site.name for site in found.sites]
    assert reason in found.left_out["conv1"]


def test_reasons_of_the_others():
    found = find_sites(Odd(lambda net, x, images: net.depthwise(x)), torch.zeros(1, 3, 8, 8))
    assert found.left_out.keys() == {"depthwise", "extra"}
    assert "no forward pass" in found.left_out["extra"]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn1, self.bn2 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, images):
        return self.bn2(self.conv(self.bn1(self.conv(images)).relu())).flatten(1).matmul(torch.ones(192, 2))


def test_a_convolution_that_is_used_twice_has_both_norms():
    (site,) = find_sites(Tied(), torch.zeros(1, 3, 8, 8)).sites
    assert [norm.weight for norm in site.norms] == ["bn1.weight", "bn2.weight"]


REFUSED = {
    "no convolutions": (nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), "has no convolutions"),
    "nothing to remove": (nn.Conv2d(3, 2, 8), "no filter of Conv2d can be removed .*what the network returns"),
    "path by values": (Odd(choose_by_values), r"reads values of its tensors \(__bool__\)"),
    "unseen operation": (Odd(double_unseen), "operations that torch doesn't announce"),
    "random": (Odd(lambda net, x, images: x * torch.rand(1)), "random in eval mode"),
    "old view": (Odd(lambda net, x, images: (x.view(-1, 8, 64), x.relu_())[0].view_as(x)), "another view"),
}


@pytest.mark.parametrize(("network", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(network, words):
    with pytest.raises(ValueError, match=words):
        find_sites(network, torch.zeros(1, 3, 8, 8))


def test_nothing_changes():
    network = VanillaConvNet().train()
    network.convolutions[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    find_sites(network, torch.zeros(1, 3, 32, 32))
    assert torch.equal(torch.rand(2), expected)
    assert modes == [module.training for module in network.modules()]
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_compiled_networks_are_followed_uncompiled():
    network = VanillaConvNet()
    network.compile(backend="eager")
    network(torch.rand(2, 3, 32, 32))
    assert [site.name for site in find_sites(network, torch.zeros(1, 3, 32, 32)).sites] == list(table(VanillaConvNet()))
