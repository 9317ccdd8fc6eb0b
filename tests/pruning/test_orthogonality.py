"""Equations 5.1 and 5.2 against a double loop, and what must not change them."""

import math

import pytest
import torch
from torch import nn

from networks import VanillaConvNet
from pruning import (
    Evidence,
    Orthogonality,
    Random,
    Site,
    UnitLength,
    WeightMean,
    WeightNorm,
    WeightSum,
    expected_overlap,
    find_sites,
    orthogonality_loss,
    orthogonality_sum,
    overlaps,
    select,
)

GENERATOR = torch.Generator().manual_seed(0)


def layer(filters):
    """A network of one convolution with these filters (J, D)."""
    network = nn.Sequential(nn.Conv2d(filters.shape[1], len(filters), 1, bias=False))
    network[0].weight.data = filters.view(*filters.shape, 1, 1)
    return network, [Site("0", "0.weight", None, len(filters))]


def rank(ranking, filters):
    return ranking.importance(*layer(filters))["0"]


def double_loop(filters):
    rows = filters.double().tolist()
    overlap = []
    for i, f in enumerate(rows):
        total = 0.0
        for j, g in enumerate(rows):
            if i != j:
                product = sum(a * b for a, b in zip(f, g))
                total += abs(product) / math.sqrt(sum(a * a for a in f)) / math.sqrt(sum(b * b for b in g))
        overlap.append(total / len(rows))
    return torch.tensor(overlap, dtype=torch.float64)


@pytest.mark.parametrize(("filters", "length"), [(2, 3), (5, 7), (16, 9), (1, 4)])
def test_double_loop(filters, length):
    weights = torch.randn(filters, length, generator=GENERATOR)
    torch.testing.assert_close(rank(Orthogonality(), weights), -double_loop(weights), rtol=0, atol=1e-12)


def test_bounds():
    orthonormal = torch.linalg.qr(torch.randn(8, 8, generator=GENERATOR, dtype=torch.float64)).Q
    assert rank(Orthogonality(), orthonormal).abs().max() < 1e-12
    equal = torch.randn(1, 6, generator=GENERATOR).repeat(5, 1)
    torch.testing.assert_close(rank(Orthogonality(), equal), torch.full((5,), -4 / 5, dtype=torch.float64))


@pytest.mark.parametrize("normalize_width", [False, True])
def test_order_and_scale_of_filters(normalize_width):
    weights = torch.randn(9, 12, generator=GENERATOR)
    order = torch.randperm(9, generator=GENERATOR)
    ranking = Orthogonality(normalize_width)
    expected = rank(ranking, weights)
    torch.testing.assert_close(rank(ranking, weights[order]), expected[order])
    scales = torch.tensor([2.0, -3, 0.5, 1, 10, -0.1, 7, 1, 4]).unsqueeze(1)
    torch.testing.assert_close(rank(ranking, weights * scales), expected, rtol=0, atol=1e-7)


def test_removed_filters_don_t_count():
    weights = torch.randn(6, 10, generator=GENERATOR)
    removed = weights.clone()
    removed[[1, 4]] = 0
    kept = [0, 2, 3, 5]
    found = rank(Orthogonality(), removed)
    torch.testing.assert_close(found[kept], rank(Orthogonality(), weights[kept]))
    assert found[[1, 4]].tolist() == [-math.inf, -math.inf]


def test_width_is_normalised():
    """Random filters of any length have an importance of about -1."""
    for length in (27, 288, 1024):
        weights = torch.randn(64, length, generator=GENERATOR)
        assert rank(Orthogonality(normalize_width=True), weights).mean() == pytest.approx(-1, abs=0.05)
    assert expected_overlap(10**9, 27) == pytest.approx(0.154, abs=1e-3)
    assert expected_overlap(10**9, 288) == pytest.approx(0.047, abs=1e-3)


def test_the_first_layer_dominates_unless_width_is_normalised():
    torch.manual_seed(0)
    network = VanillaConvNet()
    sites = find_sites(network, torch.zeros(1, 3, 32, 32)).sites
    plain = select(Orthogonality().importance(network, sites), 30, exclude=[])
    assert [int(picked.sum()) for picked in plain.values()] == [28, 1, 0]  # all that the layer can spare
    normalized = select(Orthogonality(normalize_width=True).importance(network, sites), 30, exclude=[])
    assert all(4 <= int(picked.sum()) <= 16 for picked in normalized.values())


def test_sign_of_a_duplicate():
    """Of a pair of equal filters one leaves, the small one by its norm; else a filter of little weight leaves."""
    weights = torch.eye(4, 6)
    weights[1] = 5 * weights[0]
    weights[3] *= 0.1
    lowest = rank(Orthogonality(), weights).argmin().item()
    assert lowest in (0, 1)
    assert rank(WeightNorm(), weights).argmin().item() == 3
    assert rank(Orthogonality(), weights)[:2].tolist() == [-0.25, -0.25]


def test_sum_of_a_fresh_network():
    torch.manual_seed(0)
    network = VanillaConvNet()
    sums = orthogonality_sum(network, find_sites(network, torch.zeros(1, 3, 32, 32)).sites)
    assert list(sums) == ["convolutions.0", "convolutions.4", "convolutions.8"]
    assert sum(sums.values()) == pytest.approx(246, rel=0.05)


def test_overlaps_have_gradients_also_beside_removed_filters():
    weights = torch.randn(4, 5, dtype=torch.float64, generator=GENERATOR)
    assert torch.autograd.gradcheck(overlaps, weights.clone().requires_grad_())
    weights[2] = 0
    weights.requires_grad_()
    overlaps(weights).sum().backward()
    assert weights.grad.isfinite().all()
    assert not weights.grad[2].any()


def test_loss_is_the_sum_and_in_full_precision():
    network = VanillaConvNet()
    sites = find_sites(network, torch.zeros(1, 3, 32, 32)).sites
    network.convolutions[4].weight.data[3] = 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = orthogonality_loss(network, sites)
    assert loss.item() == pytest.approx(sum(orthogonality_sum(network, sites).values()), rel=1e-5)
    loss.backward()
    gradient = network.convolutions[4].weight.grad
    assert not gradient[3].any()
    assert gradient[:3].flatten(1).any(1).all()


def test_weight_rankings():
    weights = torch.randn(5, 6, generator=GENERATOR)
    exact = weights.double()
    torch.testing.assert_close(rank(WeightNorm(), weights), exact.square().sum(1).sqrt())
    torch.testing.assert_close(rank(WeightSum(), weights), exact.abs().sum(1))
    torch.testing.assert_close(rank(WeightMean(), weights), exact.abs().mean(1))
    assert rank(UnitLength(WeightNorm()), weights).norm() == pytest.approx(1)
    assert rank(UnitLength(WeightNorm()), torch.zeros(2, 3)).tolist() == [0, 0]


def test_random_is_keyed_by_seed_and_cycle():
    network, sites = layer(torch.randn(50, 6))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = Random(3).importance(network, sites, Evidence(cycle=1))["0"]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, Random(3).importance(network, sites, Evidence(cycle=1))["0"])
    assert not torch.equal(first, Random(3).importance(network, sites, Evidence(cycle=2))["0"])
    assert not torch.equal(first, Random(4).importance(network, sites, Evidence(cycle=1))["0"])
    assert first.unique().numel() == 50


def test_random_follows_the_runs_seed_unless_it_has_its_own():
    network, sites = layer(torch.randn(50, 6))
    first, again, other = (Random().importance(network, sites, Evidence(cycle=1, seed=seed))["0"] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first, Random(3).importance(network, sites, Evidence(cycle=1, seed=9))["0"])
