"""What RePr costs."""

import pytest
import torch

from benchmarks import repr_overhead
from networks import VanillaConvNet
from pruning import find_sites


def test_trainings_without_repr_and_with_it_are_timed_in_turns(recwarn, monkeypatch):
    monkeypatch.setattr(repr_overhead, "STEPS", 2)
    figures = repr_overhead.time_steps(rounds=1)
    for what in ("standard_ms", "full_ms", "pruned_ms", "changes_ms"):
        assert figures[what]["median"] > 0
    assert figures["epoch_ratio"]["figures"] == 1


def test_a_cycle_is_spread_over_its_epochs():
    assert repr_overhead.epoch_ratio(0.1, 0.1, 0.1, 0.0) == pytest.approx(1.0)
    assert repr_overhead.epoch_ratio(0.1, 0.1, 0.13, 0.0) == pytest.approx(1.1)
    assert repr_overhead.epoch_ratio(0.2, 0.1, 0.1, 0.0) == pytest.approx(0.5)
    assert repr_overhead.epoch_ratio(0.1, 0.1, 0.1, 0.1 * 352 * 30) == pytest.approx(2.0)


def test_a_pass_for_each_filter_leaves_the_network_as_it_was():
    network = VanillaConvNet().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    sites = find_sites(network, torch.zeros(1, 3, 32, 32)).sites
    repr_overhead.pass_by_pass(network, sites, torch.rand(2, 3, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_line_per_figure():
    figure = {"median": 0.5, "low": 0.4, "high": 0.6}
    text = repr_overhead.render([{"what": "a thing", "figure": figure, "most": 1.0, "aim": "holds"}])
    assert "0.500 (0.400 – 0.600)" in text
