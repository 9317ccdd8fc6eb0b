"""Rankings by images against loops, finite differences and the full Hessian; independent of batches and ranks."""

import copy
import itertools
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import hadamard
from torch import nn

from networks import CifarDenseNet, CifarResNet, TorchvisionClassifier, VanillaConvNet
from pruning import (
    Activations,
    APoZ,
    Evidence,
    Gradients,
    GreedyOracle,
    Hessian,
    Orthogonality,
    Taylor,
    find_sites,
    select,
    stream,
)
from pruning.data_rankings import _signs

RANKINGS = {
    "activations": Activations(),
    "apoz": APoZ(),
    "gradients": Gradients(),
    "taylor": Taylor(),
    "hessian": Hessian(probes=2),
}


def small(lively, **options):
    torch.manual_seed(0)
    network = lively(VanillaConvNet(**{"depth": 2, "width": 4, "pools": 1, "image_size": 8} | options))
    return network, find_sites(network, torch.zeros(1, 3, 8, 8)).sites


def batches(*sizes, size=8):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(12, 3, size, size, generator=generator)
    labels = torch.randint(10, (12,), generator=generator)
    return [list(pair) for pair in zip(images.split(sizes), labels.split(sizes))]


def relu_maps(network, images):
    """The maps behind each ReLU of a sequence of layers, and the loss of one image."""
    maps, x = [], network.normalize(images)
    for layer in network.convolutions:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            x.retain_grad()
            maps.append(x)
    return maps, network.head(x)


def by_loops(network, measure):
    """The mean over images of what is measured for each image, layer by layer."""
    images, labels = (torch.cat(parts) for parts in zip(*batches(12)))
    sums = [0.0, 0.0]
    for image, label in zip(images, labels):
        network.zero_grad()
        maps, scores = relu_maps(network, image.unsqueeze(0).requires_grad_())
        F.cross_entropy(scores, label.unsqueeze(0)).backward()
        convolutions = [layer for layer in network.convolutions if isinstance(layer, nn.Conv2d)]
        sums = [s + measure(m[0], m.grad[0], c.weight.grad) for s, m, c in zip(sums, maps, convolutions)]
    network.zero_grad()
    return [total.double() / len(images) for total in sums]


LOOPS = {
    "activations": lambda maps, gradients, weights: maps.abs().mean((1, 2)),
    "apoz": lambda maps, gradients, weights: 1 - (maps == 0).double().mean((1, 2)),
    "gradients": lambda maps, gradients, weights: weights.flatten(1).norm(dim=1),
    "taylor": lambda maps, gradients, weights: (maps * gradients).mean((1, 2)).abs(),
}


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("options", [{}, {"batch_norm": False}, {"bias": False}], ids=str)
def test_against_loops(name, options, lively):
    network, sites = small(lively, **options)
    ranking = copy.copy(RANKINGS[name])
    ranking.layer_norm = False
    found = ranking.importance(network, sites, Evidence(batches(5, 5, 2)))
    for values, expected in zip(found.values(), by_loops(network, LOOPS[name])):
        torch.testing.assert_close(values, expected.detach(), rtol=1e-5, atol=1e-8)


def test_hand_made_maps():
    """Two filters that copy the first channel and its negative: maps can be read off the image."""
    network = VanillaConvNet(1, 2, pools=0, batch_norm=False, bias=False, image_size=2, mean=[0] * 3, std=[1] * 3)
    network.convolutions[0].weight.data.zero_()
    network.convolutions[0].weight.data[0, 0, 1, 1] = 1
    network.convolutions[0].weight.data[1, 0, 1, 1] = -1
    sites = find_sites(network, torch.zeros(1, 3, 2, 2)).sites
    images = torch.tensor([[0.0, 0.5], [1.0, 0.0]]).expand(1, 3, 2, 2)
    evidence = Evidence([[images, torch.tensor([3])]])
    assert Activations(layer_norm=False).importance(network, sites, evidence)["convolutions.0"].tolist() == [0.375, 0]
    assert APoZ().importance(network, sites, evidence)["convolutions.0"].tolist() == [0.5, 0]
    assert Taylor().importance(network, sites, evidence)["convolutions.0"].tolist() == [1, 0]


def test_taylor_against_finite_differences(lively):
    """γ and β times 1 + h are the map behind the ReLU times 1 + h."""
    network, sites = small(lively)
    network.double()
    ((images, labels),) = batches(12)
    images = images.double()
    found = Taylor(layer_norm=False).importance(network, sites, Evidence([[images, labels]]))["convolutions.0"]
    norm, step = network.convolutions[1], 1e-6
    for channel in range(4):
        losses = []
        for factor in (1 + step, 1 - step):
            moved = copy.deepcopy(network)
            moved.convolutions[1].weight.data[channel] = norm.weight[channel] * factor
            moved.convolutions[1].bias.data[channel] = norm.bias[channel] * factor
            losses.append(F.cross_entropy(moved(images), labels, reduction="none").detach())
        slopes = (losses[0] - losses[1]) / (2 * step) / 64  # over the 64 positions
        assert found[channel].item() == pytest.approx(slopes.abs().mean().item(), rel=1e-5)


class Smooth(nn.Module):
    """16 weights whose loss has a full Hessian."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 4, 2, bias=False), nn.Linear(16, 3)

    def forward(self, images):
        return self.linear(torch.tanh(self.conv(images)).flatten(1))


def test_hutchinson_against_the_full_hessian(monkeypatch):
    """The rows of a Hadamard matrix are sign vectors over which v_i v_j is zero on average: no error is left."""
    torch.manual_seed(0)
    network = Smooth().double()
    images, labels = torch.randn(6, 1, 3, 3).double(), torch.randint(3, (6,))
    (site,) = find_sites(network, images).sites

    def loss(weight):
        parameters = {"conv.weight": weight.view(4, 1, 2, 2)}
        return F.cross_entropy(torch.func.functional_call(network, parameters, images), labels)

    weight = network.conv.weight.detach().flatten()
    hessian = torch.autograd.functional.hessian(loss, weight)
    expected = (hessian.diagonal() * weight.square() / 2).view(4, 4).sum(1)
    signs = itertools.cycle(torch.from_numpy(hadamard(16)).double())
    monkeypatch.setattr("pruning.data_rankings._signs", lambda weight, generator: next(signs).view_as(weight))
    evidence = Evidence([[images[:4], labels[:4]], [images[4:], labels[4:]]])
    found = Hessian(probes=16, layer_norm=False).importance(network, [site], evidence)["conv"]
    torch.testing.assert_close(found, expected)
    assert (hessian - hessian.diagonal().diag()).abs().max() > 0.1 * hessian.abs().max()


def test_signs_are_plus_and_minus_one():
    signs = _signs(torch.zeros(100, 100), torch.Generator().manual_seed(0))
    assert sorted(signs.unique().tolist()) == [-1, 1]
    assert signs.mean().abs() < 0.05
    with pytest.raises(ValueError, match="probes=0"):
        Hessian(probes=0)


@pytest.mark.parametrize("ranking", RANKINGS.values(), ids=RANKINGS)
def test_independent_of_batch_split(ranking, lively):
    network, sites = small(lively)
    whole = ranking.importance(network, sites, Evidence(batches(12)))
    for split in [(5, 7), (1,) * 12, (4, 4, 4)]:
        parts = ranking.importance(network, sites, Evidence(batches(*split)))
        for name in whole:
            torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("ranking", [*RANKINGS.values(), GreedyOracle()], ids=[*RANKINGS, "oracle"])
def test_two_ranks_equal_one_process(ranking, lively, on_two_ranks):
    network, sites = small(lively)
    alone = ranking.importance(network, sites, Evidence(batches(5, 5, 2)))
    together = on_two_ranks(partial(ranking.importance, network, sites), batches(5, 5, 2))
    for name in alone:
        torch.testing.assert_close(together[name], alone[name], rtol=1e-12, atol=0)
    for name, picked in select(alone, 50).items():
        assert torch.equal(picked, select(together, 50)[name])


@pytest.mark.parametrize("ranking", [*RANKINGS.values(), GreedyOracle()], ids=[*RANKINGS, "oracle"])
def test_ranks_that_hold_all_images_choose_the_same(ranking, lively):
    network, sites = small(lively)
    alone = select(ranking.importance(network, sites, Evidence(batches(12))), 50)
    doubled = select(ranking.importance(network, sites, Evidence(batches(12), reduce=lambda t: 2 * t)), 50)
    assert all(torch.equal(alone[name], doubled[name]) for name in alone)


def test_one_pass_feeds_all(lively):
    network, sites = small(lively)
    seen = 0

    def counting():
        nonlocal seen
        for batch in batches(5, 7):
            seen += 1
            yield batch

    found = stream(network, sites, list(RANKINGS.values()), Evidence(counting()))
    assert seen == 2
    for ranking, values in zip(RANKINGS.values(), found):
        expected = ranking.importance(network, sites, Evidence(batches(5, 7)))
        assert all(torch.equal(values[name], expected[name]) for name in expected)


@pytest.mark.parametrize("ranking", [*RANKINGS.values(), GreedyOracle()], ids=[*RANKINGS, "oracle"])
def test_the_network_is_left_as_it_was(ranking, lively):
    network, _ = small(lively)
    network = nn.Sequential(network, nn.Dropout(0.5)).train()
    network[0].convolutions[1].eval()
    network[0].convolutions[0].weight.requires_grad_(False)
    network(torch.rand(2, 3, 8, 8)).sum().backward()
    sites = find_sites(network, torch.zeros(1, 3, 8, 8)).sites
    before = copy.deepcopy(network.state_dict())
    gradients = {name: copy.deepcopy(parameter.grad) for name, parameter in network.named_parameters()}
    flags = [parameter.requires_grad for parameter in network.parameters()]
    modes = [module.training for module in network.modules()]
    random = torch.get_rng_state()
    loader = torch.utils.data.DataLoader(list(zip(*batches(12)[0])), batch_size=5, shuffle=True)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        ranking.importance(network, sites, Evidence(loader))
    assert torch.equal(torch.get_rng_state(), random)
    assert flags == [parameter.requires_grad for parameter in network.parameters()]
    assert modes == [module.training for module in network.modules()]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == (gradients[name] is None)
        assert parameter.grad is None or torch.equal(parameter.grad, gradients[name])


@pytest.mark.parametrize(
    "network",
    [CifarResNet(8), CifarDenseNet(10, 4), TorchvisionClassifier("mobilenet_v2", 10)],
    ids=lambda n: type(n).__name__,
)
def test_every_architecture_is_ranked(network, lively):
    network = lively(network)
    sites = find_sites(network, torch.zeros(1, 3, 32, 32)).sites
    for importance in stream(network, sites, list(RANKINGS.values()), Evidence(batches(8, 4, size=32))):
        assert [len(values) for values in importance.values()] == [site.filters for site in sites]
        assert all(values.isfinite().all() for values in importance.values())
    apoz = APoZ().importance(network, sites, Evidence(batches(12, size=32)))
    assert all(values.min() < values.max() for values in apoz.values())  # every layer is judged behind some ReLU


def test_layer_norm(lively):
    network, sites = small(lively)
    for values in Taylor().importance(network, sites, Evidence(batches(12))).values():
        assert values.norm() == pytest.approx(1)


@pytest.mark.parametrize("ranking", [Taylor(), GreedyOracle()])
def test_images_are_needed(ranking, lively):
    network, sites = small(lively)
    assert ranking.needs_images
    assert not Orthogonality().needs_images
    with pytest.raises(ValueError, match="batches of held-out images"):
        ranking.importance(network, sites)
