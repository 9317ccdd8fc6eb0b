"""What defences cost."""

import pytest
import torch

from benchmarks import defense_costs, defense_peers, defenses
from benchmarks.speed import LEAST
from defenses import BitDepth, MedianSmoothing
from networks import CifarResNet


@pytest.fixture
def few(monkeypatch):
    """Two images at once."""
    monkeypatch.setattr(defense_costs, "BATCH", {224: 2, 32: 2})


def test_ours_and_peers_take_turns(few):
    contest = defense_costs.Contest("median", MedianSmoothing(2), defense_peers.median(2), 5)
    result = defense_costs.race(contest, 32, rounds=3)
    assert result["beside"] == "SciPy"
    assert result["most"] == 0.2
    assert set(result["ms"]) == {"ours", "SciPy"}
    assert result["aim"] in ("holds", "is missed", "is not decided")


def test_without_a_peer_there_is_no_ratio(few):
    result = defense_costs.race(defense_costs.Contest("grey levels", BitDepth(4)), 32, rounds=1)
    assert "ratio" not in result
    assert "| grey levels, 32 |" in defenses.render({"one core": [result]})


@pytest.mark.parametrize(("least", "aim"), [(1e-3, "holds"), (1e9, "is missed"), (None, "")])
def test_the_speed_on_a_gpu_is_judged(few, least, aim):
    contest = defense_costs.Contest("grey levels", BitDepth(4), images_per_s=least)
    result = defense_costs.on_gpu(contest, 224, rounds=LEAST, device="cpu")
    assert result["aim"] == aim
    assert "images/s" in defenses.render({"GPU": [result]})
    assert "most" not in defense_costs.on_gpu(contest, 32, rounds=1, device="cpu")


def test_maps_and_runs_are_timed_beside_the_network(few):
    network, seen = CifarResNet(8), []
    network.conv1.register_forward_hook(lambda module, arguments, outputs: seen.append(len(outputs)))
    results = defense_costs.inference(network, "ResNet-8", 32, torch.device("cpu"), rounds=2)
    assert [result["what"] for result in results] == ["a map, ResNet-8", "ten runs, ResNet-8"]
    assert [result["ratio"]["figures"] for result in results] == [2, 2]
    a_map, a_pass, rounds, images = 1, 1, 2 + 1, 2
    assert sum(seen) == (a_pass + a_map + (a_map + a_pass) + (a_map + 10 * a_pass)) * rounds * images


def test_every_peer_takes_a_picture():
    pictures = defense_costs.pictures(32, 2)
    assert pictures.shape == (2, 3, 32, 32)
    assert 0 <= pictures.min() < pictures.max() <= 1
    picture = pictures[0].permute(1, 2, 0).contiguous().numpy()
    for contest in defenses.contests():
        assert contest.ours(pictures).shape == pictures.shape
        for name, peer in contest.peers.items():
            assert peer(picture).shape == picture.shape, name


def test_the_loop_moves_whole_pixels():
    picture = defense_costs.pictures(32, 1)[0].permute(1, 2, 0).numpy()
    moved = (defense_peers.deflect_in_a_loop(50)(picture) != picture).any(2)
    assert 20 < moved.sum() <= 50


def test_a_row_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="--only nonsense: no row begins like this; there are deflection, 100"):
        defenses.measure(1, "nonsense")
