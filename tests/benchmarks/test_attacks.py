"""Attacks beside other libraries."""

import json

import pytest
import torch
from torch import nn

from attacks import PGD, DeepFool
from benchmarks import adversarial_training, attacks, sequential_universal
from benchmarks.attack_bouts import BOUTS, Aim, Bout, Subject, whole
from benchmarks.attack_peers import LIBRARIES, installed
from benchmarks.pass_meter import Pass, PassMeter, Replay, images_through
from networks import CifarResNet


@pytest.fixture
def subject():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(72, 10)).eval()
    images = torch.rand(20, 3, 8, 8)
    return Subject(network, images, network(images).argmax(1), torch.rand(10, 3, 8, 8))


def test_passes_are_written_down_and_made_again(subject):
    meter = PassMeter(subject.network)
    result = DeepFool(candidates=4)(meter, subject.images, subject.labels)
    forwards, backwards = images_through(meter.passes)
    assert forwards == int(result.forward_passes.sum())
    assert backwards == int(result.backward_passes.sum())
    again = PassMeter(subject.network)
    again.requires_grad_(True)
    Replay(again, meter.passes, subject.images[:3]).run()
    assert again.passes == meter.passes
    assert all(p.requires_grad and p.grad is None for p in again.parameters())


def test_a_pass_without_a_graph(subject):
    meter = PassMeter(subject.network)
    with torch.no_grad():
        meter(subject.images)
    assert meter.passes == [Pass("look", 20)]


def test_figures_of_ours_and_of_a_peer(subject):
    bout = Bout("DeepFool", "it", "all", {"Assay": whole(DeepFool())}, minimal=True, aims=(Aim("Assay", 0.5),))
    peer = {"it": whole(DeepFool(overshoot=0.02)), "other": whole(PGD())}
    result = attacks.measure(bout, subject, 8, {"peer": peer}, budget=0)
    assert list(result["contestants"]) == ["Assay", "peer"]
    for figures in result["contestants"].values():
        assert figures["success"] == 1.0
        assert figures["overhead"]["median"] > 0
        assert figures["forward_passes"] >= 2
    (aim,) = result["aims"]
    assert aim["rival"] == "peer"
    assert aim["l2"] == pytest.approx(1.0)
    assert "| Assay" in attacks.render(json.loads(json.dumps(result)))


def test_who_fools_fewer_images_or_goes_further_is_no_rival(subject):
    ours, weak, far = (
        attacks.Contestant(whole(attack), BOUTS[3], subject, 8)
        for attack in (DeepFool(), DeepFool(steps=1, overshoot=0.0, min_step=0), DeepFool(overshoot=0.5))
    )
    assert not attacks.rival(ours, weak, minimal=True)
    assert not attacks.rival(ours, far, minimal=True)
    assert attacks.rival(ours, far, minimal=False)
    assert attacks.weakness(weak, ours, minimal=False) == "is missed: fools fewer"
    assert attacks.weakness(far, ours, minimal=True) == "is missed: larger distances"
    assert not attacks.weakness(far, ours, minimal=False)
    assert not attacks.weakness(ours, ours, minimal=True)


def test_a_named_rival_counts_even_where_it_fools_fewer(subject):
    aims = Aim("Assay", 100.0, ("peer",)), Aim("Assay", 100.0)
    bout = Bout("DeepFool", "it", "all", {"Assay": whole(DeepFool())}, minimal=False, aims=aims)
    peer = {"it": whole(DeepFool(steps=1, overshoot=0.0, min_step=0))}
    (aim,) = attacks.measure(bout, subject, 8, {"peer": peer}, budget=0)["aims"]
    assert aim["success"][0] == 1.0 > aim["success"][1]
    assert aim["aim"] == "holds"


def test_the_sequential_loop_moves_within_its_budget(subject):
    perturbation = sequential_universal.craft(subject.network, subject.images)
    assert 0 < perturbation.abs().max() <= 10 / 255 + 1e-7
    move, steps = sequential_universal.deepfool(subject.network, subject.images[:1])
    ours = DeepFool(steps=10, min_step=0)(subject.network, subject.images[:1])
    assert steps == int(ours.steps)
    torch.testing.assert_close((subject.images[:1] + move).clamp(0, 1), ours.images, rtol=0, atol=1e-4)


def test_missing_libraries_are_named(monkeypatch):
    def absent():
        raise ImportError("no such library")

    monkeypatch.setattr("benchmarks.attack_peers.LIBRARIES", dict.fromkeys(LIBRARIES, absent))
    found, state = installed()
    assert not found
    assert state["foolbox"] == "missing (no such library)"


def test_earlier_figures_are_kept_under_the_same_circumstances(tmp_path):
    around = dict.fromkeys(("hardware", "threads", "versions", "libraries", "network"), 1)
    assert attacks.kept(tmp_path / "none.json", around) == {}
    (tmp_path / "some.json").write_text(json.dumps({"results": {"pgd": {}}, **around}))
    assert attacks.kept(tmp_path / "some.json", around) == {"pgd": {}}
    assert attacks.kept(tmp_path / "some.json", around | {"threads": 2}) == {}


def test_training_with_and_without_the_attack_takes_turns(recwarn, monkeypatch):
    network, passes = CifarResNet(8), []
    network.register_forward_hook(lambda *_: passes.append(network.training))
    monkeypatch.setattr(adversarial_training, "CifarResNet", lambda depth: network)
    result = adversarial_training.measure(PGD(steps=2), rounds=2, steps=1, batch=4)
    attacked, plain, replayed = [False, False, True], [True], [False, False]
    assert passes[1:] == (2 + 1) * (attacked + plain + replayed)  # after a pass that looks at the network
    assert result["plain_ms"]["figures"] == result["attacked_ms"]["figures"] == 2
    assert "PGD, 2 steps, batch 4" in adversarial_training.render([result])
