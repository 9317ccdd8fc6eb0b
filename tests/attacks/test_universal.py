"""Universal perturbations beside the written-out loop."""

import copy

import pytest
import torch

from attacks import DeepFool, NoBox
from attacks.norms import L2, Linf
from attacks.projections import PrintedFormula
from attacks.schedules import Alternate, EveryNetwork, Single
from attacks.universal import UniversalPerturbation, Walking
from attacks.universal_gradient import UniversalGradient
from benchmarks import sequential_universal

RADIUS = 0.15


@pytest.fixture
def pair(trained):
    """Two networks in float64 that differ a little, so that a batch's size changes no bit that matters."""
    other = copy.deepcopy(trained)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return [trained_copy(trained), other.double()]


def trained_copy(network):
    return copy.deepcopy(network).double()


@pytest.fixture
def images(digits):
    return digits[1][0][:15].double()


def plain_loop(networks, images, rotate, norm, passes, seed=0):
    """One image after the other; nothing is tested ahead and nothing cached."""
    order, queue = torch.Generator().manual_seed(seed), list(networks)
    attack, v = DeepFool(steps=10, min_step=0, box=NoBox()), torch.zeros_like(images[0])
    for _ in range(passes):
        for i in torch.randperm(len(images), generator=order).tolist():
            x = images[i : i + 1]
            for network in queue[:1] if rotate else queue:
                with torch.no_grad():
                    fooled = network(x + v).argmax(1) != network(x).argmax(1)
                if fooled:
                    continue
                found = attack(network, x + v)
                if found.success and found.steps < 9:
                    v = v + (found.images - x - v)[0]
                    v = v.clamp(-RADIUS, RADIUS) if norm == "linf" else v * min(1, RADIUS / float(v.norm()))
            if rotate:
                queue.append(queue.pop(0))
    return v


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("schedule", [EveryNetwork(), Alternate()])
@pytest.mark.parametrize("batch_size", [1, 64])
def test_looking_ahead_changes_nothing(pair, images, schedule, norm, batch_size):
    craft = UniversalPerturbation(schedule, norm, RADIUS, passes=2, fooling_rate=2, batch_size=batch_size)
    expected = plain_loop(pair, images, isinstance(schedule, Alternate), norm, passes=2)
    result = craft(pair, images)
    assert result.updates > 3
    torch.testing.assert_close(result.perturbation, expected, rtol=0, atol=1e-9)


def test_the_loop_of_the_benchmark_gives_the_same(pair, images, monkeypatch):
    monkeypatch.setattr(sequential_universal, "CRAFTING_PASSES", 2)
    monkeypatch.setattr(sequential_universal, "XI", RADIUS)
    torch.manual_seed(5)
    result = UniversalPerturbation(Single(), radius=RADIUS, passes=2, fooling_rate=2)(pair[:1], images)
    assert result.updates > 3
    expected = sequential_universal.craft(pair[0], images)
    torch.testing.assert_close(result.perturbation, expected, rtol=0, atol=1e-9)


def test_all_schedules_agree_on_one_network(pair, images):
    one = pair[:1]
    found = [
        UniversalPerturbation(schedule, radius=RADIUS, passes=2, fooling_rate=2)(one, images).perturbation
        for schedule in (Single(), EveryNetwork(), Alternate())
    ]
    assert found[0].abs().max() > 0
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_alternation_goes_on_through_passes():
    """With three images and two networks the second pass begins with the second network."""
    assert [tuple(Alternate().turn(visit, 2)) for visit in range(6)] == [(0,), (1,), (0,), (1,), (0,), (1,)]


@pytest.mark.parametrize(("name", "norm"), [("linf", Linf()), ("l2", L2())])
@pytest.mark.parametrize("projection", [None, PrintedFormula()])
def test_the_budget_holds_after_every_update(pair, images, name, norm, projection, monkeypatch):
    sizes, update = [], Walking._update

    def watched(crafting, visits):
        update(crafting, visits)
        if crafting.updates:
            sizes.append(float(norm.size(crafting.perturbation[None])))

    monkeypatch.setattr(Walking, "_update", watched)
    UniversalPerturbation(norm=name, radius=RADIUS, passes=1, projection=projection)(pair, images)
    assert len(sizes) > 3
    if projection is None:
        assert max(sizes) <= RADIUS * (1 + 1e-12)
    else:
        assert sizes == pytest.approx([(RADIUS * 255) ** 0.5 / 255] * len(sizes))


def test_rates_are_counted_by_hand_and_stop_the_passes(pair, images):
    result = UniversalPerturbation(radius=0.4, passes=9, fooling_rate=0.3)(pair, images)
    with torch.no_grad():
        changed = [(n(images + result.perturbation).argmax(1) != n(images).argmax(1)).double().mean() for n in pair]
    assert torch.equal(result.fooling_rates[-1], torch.stack(changed))
    means = result.fooling_rates.mean(1)
    assert means[-1] >= 0.3
    assert (means[:-1] < 0.3).all()
    assert len(means) < 9


def test_passes_are_counted(pair, images, counting):
    watched = [counting(network) for network in pair]
    result = UniversalPerturbation(radius=RADIUS, passes=1)(watched, images)
    assert result.forward_passes == sum(network.forwards for network in watched)
    assert result.backward_passes == sum(network.backwards for network in watched)


@pytest.mark.parametrize("schedule", [EveryNetwork(), Alternate()])
def test_micro_batches_fool_as_well(pair, images, schedule):
    result = UniversalPerturbation(schedule, radius=0.4, passes=5, fooling_rate=0.5, micro_batch=8)(pair, images)
    assert result.fooling_rates[-1].mean() >= 0.5
    assert result.perturbation.abs().max() <= 0.4


@pytest.mark.gpu
@pytest.mark.parametrize(
    "craft",
    [
        UniversalPerturbation(radius=RADIUS, passes=2, micro_batch=1),
        UniversalPerturbation(radius=RADIUS, passes=2, micro_batch=5),
        UniversalGradient(radius=RADIUS, passes=5),
    ],
    ids=["moves", "micro-batches", "gradient"],
)
def test_a_gpu_crafts_as_well(craft, pair, digits):
    images = digits[1][0][:60].double()
    here = craft(pair, images)
    there = craft([network.cuda() for network in pair], images.cuda())
    assert there.perturbation.is_cuda
    assert float(there.perturbation.abs().max()) <= RADIUS * (1 + 1e-9)
    for ours, its in zip(here.fooling_rates[-1].tolist(), there.fooling_rates[-1].tolist()):
        assert abs(ours - its) <= 0.15


def test_nothing_is_left_behind(network, images):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    with torch.inference_mode():
        result = UniversalPerturbation(Single(), radius=RADIUS, passes=1)([network], images.float())
    assert result.perturbation.dtype == torch.float32
    assert torch.equal(torch.get_rng_state(), random)
    assert network.training
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_an_unfoolable_network_leaves_zero(unfoolable):
    result = UniversalPerturbation(Single(), passes=2)([unfoolable], torch.rand(6, 1, 4, 4))
    assert not result.perturbation.any()
    assert not result.fooling_rates.any()
    assert result.updates == 0


def test_refusals(pair, images):
    with pytest.raises(ValueError, match="Single serves one network, not 2"):
        UniversalPerturbation(Single())(pair, images)
    with pytest.raises(ValueError, match=r"networks\[0\] does not take images of shape \(1, 12, 12\).*resize"):
        UniversalPerturbation()(pair, torch.rand(2, 1, 12, 12, dtype=torch.float64))
    with pytest.raises(ValueError, match="pixels from"):
        UniversalPerturbation()(pair, 255 * images)
    with pytest.raises(ValueError, match="micro_batch=0"):
        UniversalPerturbation(micro_batch=0)


@pytest.mark.parametrize("way", [UniversalPerturbation, UniversalGradient])
def test_only_linf_has_a_radius_of_its_own(way):
    assert way().radius == way(norm=Linf()).radius == 10 / 255
    assert way(norm="l2", radius=1.1).radius == 1.1
    words = rf"{way.__name__}: radius=None .* norm=L2: give a radius .* 7\.8 .* 1\.1"
    for norm in ("l2", L2()):
        with pytest.raises(ValueError, match=words):
            way(norm=norm)
