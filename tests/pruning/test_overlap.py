"""Canonical correlations against scikit-learn and by construction."""

from functools import partial

import pytest
import torch
from sklearn.cross_decomposition import CCA

from networks import VanillaConvNet
from pruning import Evidence, canonical_correlations, chance_correlation, filter_correlations, find_sites


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_linear_images_correlate_fully():
    x = draw(200, 5)
    torch.testing.assert_close(canonical_correlations(x, x @ draw(5, 5) + 3), torch.ones(5).double(), rtol=0, atol=1e-3)
    assert canonical_correlations(x, x[:, :2]).shape == (2,)


def test_independent_features_hardly_correlate():
    assert canonical_correlations(draw(20_000, 4), draw(20_000, 4, seed=1)).max() < 0.05


@pytest.mark.parametrize("images", [100, 360, 1000])
def test_unrelated_features_correlate_by_chance(images):
    highest = [canonical_correlations(draw(images, 16, seed=k), draw(images, 16, seed=-1 - k))[0] for k in range(20)]
    assert torch.stack(highest).mean().item() == pytest.approx(chance_correlation(images), rel=0.1)
    assert chance_correlation(20) == chance_correlation(32) == 1


def test_known_correlation():
    x, noise = draw(50_000, 1), draw(50_000, 1, seed=1)
    assert canonical_correlations(x, 0.6 * x + 0.8 * noise).item() == pytest.approx(0.6, abs=0.01)


def test_scikit_learn():
    x, y = draw(300, 4), draw(300, 3, seed=1)
    y[:, 0] += x[:, 1] - 2 * x[:, 2]
    scores = CCA(n_components=3, max_iter=5000, tol=1e-12).fit_transform(x.numpy(), y.numpy())
    a, b = (torch.from_numpy(score) for score in scores)
    expected = [torch.corrcoef(torch.stack([a[:, i], b[:, i]]))[0, 1] for i in range(3)]
    torch.testing.assert_close(canonical_correlations(x, y, ridge=0), torch.stack(expected), rtol=0, atol=1e-4)


def batches(*sizes):
    images = torch.rand(60, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return [[part, torch.zeros(len(part), dtype=torch.int64)] for part in images.split(sizes)]


def test_filters_of_a_network(lively):
    network = lively(VanillaConvNet(2, 6))
    network.convolutions[0].weight.data[1] = 3 * network.convolutions[0].weight[0]
    network.convolutions[0].weight.data[5] = 0  # its maps vary nowhere
    sites = find_sites(network, torch.zeros(1, 3, 32, 32)).sites
    found = filter_correlations(network, sites, Evidence(batches(20, 40)), size=2)
    first = found["convolutions.0"]
    torch.testing.assert_close(first, first.T)
    assert first[0, 1] > 0.9
    assert not first[5, :5].any()
    ((images, _),) = batches(60)
    with torch.no_grad():
        maps = network.convolutions[:3](network.normalize(images))
    seen = torch.nn.functional.adaptive_avg_pool2d(maps, 2).flatten(2)
    expected = canonical_correlations(seen[:, 2], seen[:, 3])[0]
    torch.testing.assert_close(first[2, 3], expected, rtol=0, atol=1e-5)


def test_independent_of_batches_and_ranks(lively, on_two_ranks):
    network = lively(VanillaConvNet(1, 6, pools=0))
    sites = find_sites(network, torch.zeros(1, 3, 32, 32)).sites
    whole = filter_correlations(network, sites, Evidence(batches(60)), max_filters=4)["convolutions.0"]
    assert whole.shape == (4, 4)
    look = partial(filter_correlations, network, sites, max_filters=4)
    together = on_two_ranks(look, batches(20, 30, 10))["convolutions.0"]
    torch.testing.assert_close(together, whole, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="need images"):
        filter_correlations(network, sites, Evidence())
