"""Filters return: new weights of the right length, BatchNorm anew, everything else as it was."""

import copy
import math

import pytest
import torch
from torch import nn

from networks import CifarDenseNet, CifarResNet, TorchvisionClassifier, VanillaConvNet
from pruning import (
    KeepColumns,
    RandomColumns,
    ZeroColumns,
    bring_back,
    entries,
    find_sites,
    initial_norms,
    recalibrate,
    remove,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sites_of(network):
    return find_sites(network, torch.zeros(1, 3, 32, 32)).sites


def cycle(network, sites, chosen, columns=None, seed=0):
    norms = initial_norms(network, sites)
    old = remove(network, entries(sites, chosen))
    return bring_back(network, sites, chosen, old, norms, generator(seed), columns)


def largest_cosine(a, b):
    a, b = a.detach().double().flatten(1), b.detach().double().flatten(1)
    return float((a / a.norm(dim=1, keepdim=True) @ (b / b.norm(dim=1, keepdim=True)).T).abs().max())


def test_weights_are_orthogonal_and_of_the_initial_norm(lively, some):
    torch.manual_seed(0)
    network = lively(VanillaConvNet())
    sites = sites_of(network)
    chosen = some(sites)
    before = copy.deepcopy(network)
    norms = initial_norms(network, sites)
    tiers = cycle(network, sites, chosen)
    assert [sum(tier) for tier in tiers.values()] == [int(picked.sum()) for picked in chosen.values()]
    for site in sites:
        new, old = (net.get_parameter(site.weight) for net in (network, before))
        picked = chosen[site.name]
        assert torch.equal(new[~picked], old[~picked])
        lengths = new[picked].flatten(1).norm(dim=1)
        torch.testing.assert_close(lengths, torch.full_like(lengths, norms[site.name]))
        if site.name != "convolutions.0":  # 32 filters of length 27 have no room
            assert tiers[site.name] == (int(picked.sum()), 0, 0)
            assert largest_cosine(new[picked], old) <= 1e-6
            in_pairs = new[picked].double().flatten(1) / norms[site.name]
            assert (in_pairs @ in_pairs.T - torch.eye(len(in_pairs))).abs().max() <= 1e-6


def test_initial_norms():
    torch.manual_seed(0)
    network = VanillaConvNet(width=64)
    norms = initial_norms(network, sites_of(network))
    assert norms["convolutions.4"] == pytest.approx(1 / math.sqrt(3), rel=0.01)
    nn.init.kaiming_normal_(network.convolutions[4].weight)
    assert initial_norms(network, sites_of(network))["convolutions.4"] == pytest.approx(math.sqrt(2), rel=0.02)


def test_batch_norm_and_bias_start_anew(lively, some):
    network = lively(VanillaConvNet())
    sites = sites_of(network)
    chosen = some(sites)
    before = copy.deepcopy(network.state_dict())
    cycle(network, sites, chosen)
    picked = chosen["convolutions.4"]
    starts = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
    for kind, start in starts.items():
        name = f"convolutions.5.{kind}"
        assert (network.state_dict()[name][picked] == start).all()
        assert torch.equal(network.state_dict()[name][~picked], before[name][~picked])
    assert not network.convolutions[4].bias[picked].any()


def test_norms_of_concatenated_maps_get_their_old_scale_back(lively, some):
    network = lively(CifarDenseNet(10, 4))
    sites = sites_of(network)
    before = copy.deepcopy(network.state_dict())
    chosen = {"block1.0.conv": torch.tensor([True, False, True, False])}
    cycle(network, sites, chosen)
    after = network.state_dict()
    for norm in ("block1.1.bn", "transition1.bn"):
        for kind in ("weight", "bias"):
            assert torch.equal(after[f"{norm}.{kind}"], before[f"{norm}.{kind}"])
        changed = after[f"{norm}.running_var"] != before[f"{norm}.running_var"]
        assert changed.nonzero().flatten().tolist() == [16, 18]
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    statistics = {
        f"{norm}.{kind}" for norm in ("block1.1.bn", "transition1.bn") for kind in ("running_mean", "running_var")
    }
    assert changed == {"block1.0.conv.weight"} | statistics


def test_next_columns(lively, some):
    def columns_after(columns, seed=0):
        torch.manual_seed(0)
        network = lively(VanillaConvNet())
        sites = sites_of(network)
        chosen = {"convolutions.4": torch.arange(32) < 5, "convolutions.8": torch.arange(32) == 2}
        before = copy.deepcopy(network.state_dict())
        cycle(network, sites, chosen, columns, seed)
        return network, before

    network, before = columns_after(KeepColumns())
    assert torch.equal(network.linear.weight, before["linear.weight"])
    others = torch.arange(32) != 2
    assert torch.equal(network.convolutions[8].weight[others], before["convolutions.8.weight"][others])

    network, before = columns_after(ZeroColumns())
    weight = network.convolutions[8].weight[others]
    assert not weight[:, :5].any()
    assert weight[:, 5:].all()
    assert not network.linear.weight[:, 2 * 16 : 3 * 16].any()
    assert torch.equal(network.linear.weight[:, 3 * 16 :], before["linear.weight"][:, 3 * 16 :])

    network, before = columns_after(RandomColumns())
    drawn = network.linear.weight[:, 2 * 16 : 3 * 16]
    assert not torch.equal(drawn, before["linear.weight"][:, 2 * 16 : 3 * 16])
    assert drawn.std().item() == pytest.approx(before["linear.weight"].std().item(), rel=0.3)
    again, _ = columns_after(RandomColumns())
    assert torch.equal(again.linear.weight, network.linear.weight)


def test_zero_columns_leave_the_outputs_alone(lively, some):
    network = lively(VanillaConvNet())
    sites = sites_of(network)
    chosen = some(sites)
    norms = initial_norms(network, sites)
    old = remove(network, entries(sites, chosen))
    images = torch.rand(2, 3, 32, 32)
    masked = network(images)
    bring_back(network, sites, chosen, old, norms, generator(), ZeroColumns())
    torch.testing.assert_close(network(images), masked, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [lambda: CifarResNet(14), lambda: TorchvisionClassifier("mobilenet_v2", 10)])
def test_any_network_returns_and_learns(make, lively, some):
    network = lively(make())
    sites = sites_of(network)
    chosen = some(sites, share=0.3)
    parameters = [id(parameter) for parameter in network.parameters()]
    tiers = cycle(network, sites, chosen)
    assert sum(sum(tier) for tier in tiers.values()) == sum(int(picked.sum()) for picked in chosen.values())
    assert parameters == [id(parameter) for parameter in network.parameters()]
    network.train()(torch.rand(4, 3, 32, 32)).square().sum().backward()
    for site in sites:
        assert network.get_parameter(site.weight).grad[chosen[site.name]].flatten(1).any(1).float().mean() > 0.5


def test_same_generator_same_network(lively, some):
    networks = [lively(VanillaConvNet()) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    sites = sites_of(networks[0])
    for network in networks:
        cycle(network, sites, some(sites), seed=7)
    assert all(torch.equal(a, b) for a, b in zip(networks[0].parameters(), networks[1].parameters()))


def test_recalibration_makes_evaluation_like_training(lively, some):
    torch.manual_seed(0)
    network = lively(VanillaConvNet())
    batches = [[torch.rand(64, 3, 32, 32), None] for _ in range(4)]
    sites = sites_of(network)
    chosen = some(sites)
    cycle(network, sites, chosen)
    network.train()
    for images, _ in batches * 8:
        network(images)  # the others' statistics, too, fit these images
    cycle(network, sites, chosen)
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]

    def deviations(training):
        seen = {}
        layers = [network.convolutions[index] for index in (1, 5, 9)]
        hooks = [layer.register_forward_hook(lambda m, i, made: seen.update({m: made})) for layer in layers]
        with torch.no_grad():
            network.train(training)(torch.cat([images for images, _ in batches]))
        for hook in hooks:
            hook.remove()
        return [seen[layer].std((0, 2, 3)) for layer in layers]

    reset = deviations(training=False)
    network.train()
    recalibrate(network, sites, chosen, batches)
    after = network.state_dict()
    assert modes == [module.training for module in network.modules()]
    assert network.convolutions[1].momentum == 0.1
    for index, name in [(1, "convolutions.0"), (5, "convolutions.4"), (9, "convolutions.8")]:
        variance = f"convolutions.{index}.running_var"
        assert torch.equal(after[variance][~chosen[name]], before[variance][~chosen[name]])
        assert not torch.equal(after[variance][chosen[name]], before[variance][chosen[name]])
    evaluated = deviations(training=False)
    trained = deviations(training=True)
    for picked, e, t, r in zip(chosen.values(), evaluated, trained, reset):
        assert ((e - t).abs()[picked] < 0.1 * t[picked]).all()
        assert ((r - t).abs()[picked] > 0.1 * t[picked]).any()  # with mean 0 and variance 1 it is not
