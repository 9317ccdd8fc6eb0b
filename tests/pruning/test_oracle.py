"""The oracle against a whole evaluation for each filter."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from networks import CifarDenseNet, CifarResNet, TorchvisionClassifier, VanillaConvNet
from pruning import Evidence, GreedyOracle, entries, find_sites, remove
from pruning.oracle import outputs_without

NETWORKS = {
    "C3": lambda: VanillaConvNet(width=6, pools=2, image_size=8),
    "C2 without BatchNorm": lambda: VanillaConvNet(2, 6, batch_norm=False, image_size=8),
    "ResNet-8": lambda: CifarResNet(8),
    "DenseNet-10": lambda: CifarDenseNet(10, 3),
}


def batches(*sizes, size=8):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(30, 3, size, size, generator=generator)
    labels = torch.randint(10, (30,), generator=generator)
    return [list(pair) for pair in zip(images.split(sizes), labels.split(sizes))]


def figures(network, pairs):
    with torch.no_grad():
        scores = [network(images) for images, _ in pairs]
    losses = [F.cross_entropy(s, labels).double() * len(labels) for s, (_, labels) in zip(scores, pairs)]
    right = [(s.argmax(1) == labels).sum() for s, (_, labels) in zip(scores, pairs)]
    return sum(right), sum(losses)


def brute_force(network, sites, pairs):
    right, loss = figures(network, pairs)
    found = {site.name: torch.zeros(site.filters, dtype=torch.float64) for site in sites}
    for site in sites:
        for row in range(site.filters):
            state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            remove(network, entries([site], {site.name: torch.arange(site.filters) == row}))
            right_without, loss_without = figures(network, pairs)
            network.load_state_dict(state)
            rise = float(loss_without - loss)
            found[site.name][row] = (int(right - right_without) + math.atan(rise) / math.pi) / 30
    return found


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_brute_force(make, lively):
    torch.manual_seed(0)
    network = lively(make())
    sites = find_sites(network, torch.zeros(1, 3, 8, 8)).sites
    pairs = batches(16, 14)
    found = GreedyOracle().importance(network, sites, Evidence(pairs))
    expected = brute_force(network, sites, pairs)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v2", "densenet121"])
def test_outputs_without_each_kind_of_filter(name, lively, monkeypatch):
    """Through branches, concatenations, depthwise convolutions and gates."""
    network = lively(TorchvisionClassifier(name, 5))
    every_fifth = find_sites(network, torch.zeros(1, 3, 64, 64)).sites[::9]
    sites = [site for site in every_fifth if site.filters <= 200][:6]
    images = torch.rand(3, 3, 64, 64)
    seen = []
    monkeypatch.setattr("pruning.oracle._judge", lambda outputs, *_: seen.append(outputs) or torch.zeros(2).double())
    some = [replace(site, filters=3) for site in sites]
    GreedyOracle().importance(network, some, Evidence([[images, torch.zeros(3).long()]]))
    assert len(seen) == 1 + 3 * len(sites)
    with torch.no_grad():
        for site, row in itertools.product(sites, range(3)):
            expected = outputs_without(network, site, row, images)
            assert any(torch.allclose(outputs, expected, rtol=1e-4, atol=1e-5) for outputs in seen[1:])


def test_ties_are_ordered_by_the_loss(lively):
    network = lively(NETWORKS["C3"]())
    sites = find_sites(network, torch.zeros(1, 3, 8, 8)).sites
    pairs = batches(30)
    values = torch.cat(list(GreedyOracle().importance(network, sites, Evidence(pairs)).values()))
    drops = (values * 30).round()
    assert ((values * 30 - drops).abs() < 0.5).all()
    assert len(drops.unique()) < len(values.unique()) == 18


def test_readout_makes_scores_of_outputs(lively):
    network = lively(NETWORKS["C3"]())
    sites = find_sites(network, torch.zeros(1, 3, 8, 8)).sites
    flipped = Evidence(batches(30), readout=lambda outputs: -outputs)
    plain = GreedyOracle().importance(network, sites, Evidence(batches(30)))
    assert not torch.equal(
        plain["convolutions.0"], GreedyOracle().importance(network, sites, flipped)["convolutions.0"]
    )


class Merged(torch.nn.Module):
    """Images and channels in one dimension: nothing of it holds for another number of images."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(1, 10, 3)

    def forward(self, images):
        maps = self.conv1(images).relu()
        return self.conv2(maps.flatten(0, 1).unsqueeze(1)).unflatten(0, (-1, 4)).mean((3, 4)).sum(1)


def test_whole_passes_where_images_are_merged():
    network = Merged()
    found = find_sites(network, torch.zeros(1, 3, 8, 8))
    pairs = batches(16, 14)
    importance = GreedyOracle().importance(network, found.sites, Evidence(pairs))
    for name, expected in brute_force(network, found.sites, pairs).items():
        torch.testing.assert_close(importance[name], expected, rtol=0, atol=1e-8)
