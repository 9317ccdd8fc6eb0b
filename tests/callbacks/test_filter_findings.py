"""What is found out equals a loop over whole evaluations."""

import pytest
import torch

from callbacks.filter_findings import find_out, spread
from networks import VanillaConvNet
from pruning import Evidence, entries, filter_correlations, find_sites, remove


@pytest.fixture
def network():
    torch.manual_seed(0)
    return VanillaConvNet(2, 6, pools=1, image_size=8).eval()


def batches(*sizes):
    generator = torch.Generator().manual_seed(1)
    images, labels = (
        torch.rand(30, 3, 8, 8, generator=generator),
        torch.randint(3, (30,), generator=generator),
    )
    return [list(pair) for pair in zip(images.split(sizes), labels.split(sizes))]


def right(network, pairs):
    with torch.no_grad():
        return sum(int((network(images).argmax(1) == labels).sum()) for images, labels in pairs)


def test_drops_are_whole_images(network):
    sites = find_sites(network, torch.zeros(1, 3, 8, 8)).sites
    pairs = batches(16, 14)
    found = find_out(network, sites, Evidence(pairs))
    whole = right(network, pairs)
    for site in sites:
        for row in range(site.filters):
            state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            remove(network, entries([site], {site.name: torch.arange(site.filters) == row}))
            assert found.drops[site.name][row] == (whole - right(network, pairs)) / 30
            network.load_state_dict(state)
    assert found.images == 30
    assert found.filters == {site.name: 6 for site in sites}
    assert len({float(drop) for values in found.drops.values() for drop in values}) > 1


def test_correlations_are_those_of_pruning(network):
    sites = find_sites(network, torch.zeros(1, 3, 8, 8)).sites
    found = find_out(network, sites[:1], Evidence(batches(30)), drops=False)
    expected = filter_correlations(network, sites[:1], Evidence(batches(30)))
    assert found.drops is None
    assert found.correlations.keys() == expected.keys() == {sites[0].name}
    assert torch.equal(found.correlations[sites[0].name], expected[sites[0].name])


def test_images_of_all_ranks_are_counted(network):
    sites = find_sites(network, torch.zeros(1, 3, 8, 8)).sites
    alone = find_out(network, sites, Evidence(batches(30)))
    doubled = find_out(network, sites, Evidence(batches(30), reduce=lambda tensor: 2 * tensor))
    assert doubled.images == 60
    for name, values in alone.drops.items():
        assert torch.equal(doubled.drops[name], values)


def test_layers_are_picked_at_equal_distances():
    assert spread(range(109), 4) == [0, 36, 72, 108]
    assert spread("abc", 3) == spread("abc", 9) == spread("abc", None) == ["a", "b", "c"]
    assert spread("abc", 1) == ["a"]
