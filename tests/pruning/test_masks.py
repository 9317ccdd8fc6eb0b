"""A removed filter is gone: its maps are zero, the rest is a smaller network, and nothing leaks back."""

import copy

import pytest
import torch
from torch import nn

from networks import (
    CifarDenseNet,
    CifarResNet,
    CifarVGG16,
    PreActResNet18Kuangliu,
    TorchvisionClassifier,
    VanillaConvNet,
    WideResNet,
)
from pruning import Mask, clear_optimizer_state, entries, find_sites, keep_all_but, remove


def inner_ones(sites):
    """Filters whose maps are added to others can be removed, but not cut out."""
    return [site for site in sites if site.columns and site.name.endswith(("conv1", "conv1.0"))]


def all_of_them(sites):
    return sites


# A network, its image size, and those of its layers that can be cut out.
CUT = {
    "C3": (lambda: VanillaConvNet(), 32, all_of_them),
    "C3 without BatchNorm": (lambda: VanillaConvNet(batch_norm=False), 32, all_of_them),
    "C2 with global pooling": (lambda: VanillaConvNet(2, bias=False, global_pool=True), 32, all_of_them),
    "VGG-16": (lambda: CifarVGG16(), 32, all_of_them),
    "VGG-16 without BatchNorm": (lambda: CifarVGG16(batch_norm=False), 32, all_of_them),
    "ResNet-20": (lambda: CifarResNet(20), 32, lambda sites: inner_ones(sites)[1:]),
    "preact ResNet-18": (lambda: PreActResNet18Kuangliu(), 16, lambda sites: inner_ones(sites)[1:]),
    "wide ResNet": (lambda: WideResNet(10, 1), 32, lambda sites: inner_ones(sites)[1:]),
    "DenseNet-22": (lambda: CifarDenseNet(22, 6), 32, all_of_them),
    "GoogLeNet": (lambda: TorchvisionClassifier("googlenet", 7), 64, all_of_them),
    "DenseNet-121": (lambda: TorchvisionClassifier("densenet121", 7), 32, all_of_them),
    "SqueezeNet": (lambda: TorchvisionClassifier("squeezenet1_1", 7), 64, all_of_them),
}


@pytest.mark.parametrize(("make", "size", "cuttable"), CUT.values(), ids=CUT)
def test_masked_equals_physically_smaller(make, size, cuttable, lively, some, cut):
    torch.manual_seed(0)
    network = lively(make())
    sites = cuttable(find_sites(network, torch.zeros(1, 3, size, size)).sites)
    chosen = some(sites)
    images = torch.rand(3, 3, size, size)
    with torch.no_grad():
        full = network(images)
        smaller = cut(network, sites, chosen)(images)
        remove(network, entries(sites, chosen))
        masked = network(images)
    assert len(sites) >= 2
    assert not torch.allclose(full, masked, atol=1e-3)
    torch.testing.assert_close(masked, smaller, rtol=0, atol=1e-5 * float(smaller.abs().max().clamp(min=1)))


def test_a_residual_goes_and_the_identity_stays(lively, some):
    network = lively(CifarResNet(14))
    block = network.layer2[1]
    sites = [site for site in find_sites(network, torch.zeros(1, 3, 32, 32)).sites if site.name == "layer2.1.conv2"]
    chosen = some(sites)
    picked = chosen["layer2.1.conv2"]
    remove(network, entries(sites, chosen))
    for training in (False, True):
        x = torch.randn(2, 32, 8, 8)
        torch.testing.assert_close(block.train(training)(x)[:, picked], x[:, picked].relu(), rtol=0, atol=0)
        assert not torch.equal(block(x)[:, ~picked], x[:, ~picked].relu())


def test_only_the_listed_entries_change(lively, some):
    network = lively(VanillaConvNet())
    sites = find_sites(network, torch.zeros(1, 3, 32, 32)).sites
    chosen = some(sites)
    before = copy.deepcopy(network.state_dict())
    old = remove(network, entries(sites, chosen))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    blocks = (
        "convolutions.0",
        "convolutions.1",
        "convolutions.4",
        "convolutions.5",
        "convolutions.8",
        "convolutions.9",
    )
    assert changed == {f"{block}.{kind}" for block in blocks for kind in ("weight", "bias")} == old.keys()
    picked = chosen["convolutions.4"]
    weight = network.convolutions[4].weight
    assert torch.equal(weight[~picked], before["convolutions.4.weight"][~picked])
    assert torch.equal(old["convolutions.4.weight"], before["convolutions.4.weight"][picked])
    assert torch.equal(old["convolutions.5.bias"], before["convolutions.5.bias"][picked])
    assert not weight[picked].any()


def test_no_parameter_shape_or_hook_is_new(some):
    network = VanillaConvNet()
    parameters = {name: (id(parameter), parameter.shape) for name, parameter in network.named_parameters()}
    sites = find_sites(network, torch.zeros(1, 3, 32, 32)).sites
    removed = entries(sites, some(sites))
    remove(network, removed)
    Mask(network, keep_all_but(network, removed)).apply()
    assert parameters == {name: (id(parameter), parameter.shape) for name, parameter in network.named_parameters()}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=5e-4),
    "Nesterov": lambda parameters: torch.optim.SGD(parameters, 0.05, momentum=0.9, nesterov=True, weight_decay=5e-4),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, weight_decay=5e-4),
    "AMSGrad": lambda parameters: torch.optim.Adam(parameters, lr=0.01, weight_decay=5e-4, amsgrad=True),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.05),
}
NETWORKS = {
    "C3": lambda: VanillaConvNet(width=8, pools=2, image_size=8),
    "ResNet-8": lambda: CifarResNet(8),
    "DenseNet-10": lambda: CifarDenseNet(10, 4),
}


def train(network, optimizer, steps, mask=None):
    generator = torch.Generator().manual_seed(1)
    network.train()
    for _ in range(steps):
        images, labels = torch.rand(4, 3, 8, 8, generator=generator), torch.randint(10, (4,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
        if mask is not None:
            mask.apply()


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_nothing_leaks_in_fifty_steps(make, optimizer, some):
    torch.manual_seed(0)
    network = make()
    optimizer = optimizer(network.parameters())
    train(network, optimizer, 5)  # so that there is momentum
    sites = find_sites(network, torch.zeros(1, 3, 8, 8)).sites
    chosen = some(sites)
    removed = entries(sites, chosen)
    remove(network, removed)
    keep = keep_all_but(network, removed)
    clear_optimizer_state(network, optimizer, keep)
    mask = Mask(network, keep)
    survivors = network.get_parameter(sites[1].weight).detach().clone()
    train(network, optimizer, 50, mask)
    tensors = dict(network.named_parameters())
    assert not any(tensors[name][indices].any() for name, indices in removed.items())
    assert (tensors[sites[1].weight] != survivors)[~chosen[sites[1].name]].any()
    assert_maps_are_zero(network, sites, chosen)


def assert_maps_are_zero(network, sites, chosen):
    """Behind every normalisation layer of a removed filter, in training and in evaluation."""
    seen = {}
    hooks = [
        network.get_submodule(norm.weight.rpartition(".")[0]).register_forward_hook(
            lambda module, inputs, made, key=norm: seen.update({key: made})
        )
        for site in sites
        for norm in site.norms
    ]
    for training in (True, False):
        network.train(training)(torch.rand(4, 3, 8, 8))
        for site in sites:
            for norm in site.norms:
                assert not seen[norm][:, norm.channels_of(chosen[site.name])].any()
    for hook in hooks:
        hook.remove()


def test_without_a_mask_they_would_leak(some):
    """What the mask is for: momentum and decay move what is only zeroed."""
    network = NETWORKS["C3"]()
    optimizer = OPTIMIZERS["SGD"](network.parameters())
    train(network, optimizer, 5)
    sites = find_sites(network, torch.zeros(1, 3, 8, 8)).sites
    removed = entries(sites, some(sites))
    remove(network, removed)
    train(network, optimizer, 50)
    assert network.get_parameter(sites[1].weight)[removed[sites[1].weight]].abs().max() > 1e-3


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizer_state_of_removed_filters_is_forgotten(optimizer, some):
    network = NETWORKS["C3"]()
    optimizer = optimizer(network.parameters())
    sites = find_sites(network, torch.zeros(1, 3, 8, 8)).sites
    removed = entries(sites, some(sites))
    keep = keep_all_but(network, removed)
    clear_optimizer_state(network, optimizer, keep)  # before the first step there is none
    train(network, optimizer, 3)
    before = copy.deepcopy(optimizer.state_dict()["state"])
    clear_optimizer_state(network, optimizer, keep)
    after = optimizer.state_dict()["state"]
    for number, (name, parameter) in enumerate(network.named_parameters()):
        gone = removed.get(name, torch.tensor([], dtype=torch.int64))
        for key, value in after[number].items():
            if value is None or value.shape != parameter.shape:
                assert value is None or torch.equal(value, before[number][key])  # Adam's count of steps
                continue
            kept = torch.ones(len(value), dtype=torch.bool).index_fill_(0, gone, False)
            assert not value[gone].any()
            assert torch.equal(value[kept], before[number][key][kept])
            assert value[kept].any()


def test_state_is_plain(tmp_path, some):
    network = VanillaConvNet()
    sites = find_sites(network, torch.zeros(1, 3, 32, 32)).sites
    chosen = some(sites)
    removed = entries(sites, chosen)
    state = {
        "chosen": chosen,
        "entries": removed,
        "old": remove(network, removed),
        "sites": [s.as_data() for s in sites],
    }
    torch.save(state, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    assert torch.equal(loaded["old"]["convolutions.0.weight"], state["old"]["convolutions.0.weight"])


def test_masks_of_single_weights():
    network = nn.Linear(4, 3)
    keep = torch.rand(3, 4) > 0.5
    before = network.weight.detach().clone()
    Mask(network, {"weight": keep}).apply()
    assert torch.equal(network.weight, before * keep)


def test_masks_follow_the_layout_of_weights():
    network = nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)
    mask = Mask(network, {"weight": torch.tensor([True, False] * 3).view(6, 1, 1, 1)})
    mask.apply()
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
    assert [bool(row.any()) for row in network.weight] == [True, False] * 3
    Mask(network, {}).apply()
