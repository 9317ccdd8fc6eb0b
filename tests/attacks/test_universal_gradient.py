"""Universal perturbations by climbing the loss, beside steps written out and beside DeepFool's moves."""

import copy

import pytest
import torch
from torch.nn import functional

from attacks import Alternate, ClipBox, EveryNetwork, Single, UniversalGradient, UniversalPerturbation, fooling_rates
from attacks.norms import norm_of


@pytest.fixture
def pair(trained):
    """Two networks in float64 that differ a little."""
    other = copy.deepcopy(trained)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return [copy.deepcopy(trained).double(), other.double()]


@pytest.fixture
def images(digits):
    return digits[1][0][:30].double()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("schedule", [EveryNetwork(), Alternate()])
def test_steps_written_out(pair, images, schedule, norm):
    """One pass in two batches: 30 or 60 visits, each image's loss under its network, capped at 1."""
    visits = 60 if isinstance(schedule, EveryNetwork) else 30
    craft = UniversalGradient(schedule, norm, 0.2, step=0.1, passes=1, cap=1.0, batch_size=visits // 2, seed=3)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(3)).tolist()
    v = torch.zeros_like(images[0], requires_grad=True)
    for half, step in ((order[:15], 0.1), (order[15:], 0.05)):
        loss = 0
        for place, i in enumerate(half, 0 if half == order[:15] else 15):
            for network in pair if isinstance(schedule, EveryNetwork) else [pair[place % 2]]:
                scores = network(images[i : i + 1] + v)
                loss = loss + functional.cross_entropy(scores, network(images[i : i + 1]).argmax(1)).clamp(max=1.0)
        (gradient,) = torch.autograd.grad(loss, v)
        with torch.no_grad():
            move = step * (gradient.sign() if norm == "linf" else gradient / gradient.norm())
            v = norm_of(norm).project((v + move).unsqueeze(0), 0.2)[0].requires_grad_()
    result = craft(pair, images)
    assert result.updates == 2
    torch.testing.assert_close(result.perturbation, v.detach(), rtol=0, atol=1e-9)


def test_one_perturbation_fools_two_networks_on_other_images(pair, digits):
    images, others = digits[0][0][:300].double(), digits[1][0][:200].double()
    craft = UniversalGradient(radius=0.35, step=0.05, passes=5)
    result = craft(pair, images)
    held_out = fooling_rates(pair, others, result.perturbation)
    assert held_out.min() > 0.5
    assert result.perturbation.abs().max() <= 0.35
    slow = UniversalPerturbation(radius=0.35, passes=1, fooling_rate=2, micro_batch=8)(pair, images)
    assert held_out.mean() > fooling_rates(pair, others, slow.perturbation).mean() - 0.1
    assert result.backward_passes < slow.backward_passes


def test_passes_are_counted(pair, images, counting):
    watched = [counting(network) for network in pair]
    result = UniversalGradient(radius=0.2, passes=2)(watched, images)
    assert result.forward_passes == sum(network.forwards for network in watched) == 2 * 30 * 5
    assert result.backward_passes == sum(network.backwards for network in watched) == 2 * 30 * 2


def test_the_seed_decides_and_by_default_it_is_that_of_the_run(pair, images):
    def craft(seed=None):
        return UniversalGradient(Single(), radius=0.2, passes=2, batch_size=7, seed=seed)(pair[:1], images).perturbation

    torch.manual_seed(5)
    assert torch.equal(craft(), craft(5))
    assert not torch.equal(craft(), craft(6))


def test_dark_images_do_not_go_below_zero_with_a_box(pair, images):
    result = UniversalGradient(radius=0.2, passes=2, box=ClipBox())(pair, images)
    clipped = fooling_rates(pair, images, result.perturbation, ClipBox())
    torch.testing.assert_close(result.fooling_rates[-1], clipped)


def test_nothing_to_climb_leaves_zero(zero_gradient):
    result = UniversalGradient(Single(), passes=2)([zero_gradient], torch.rand(6, 1, 4, 4))
    assert not result.perturbation.any()
    assert not result.fooling_rates.any()


def test_a_step_is_half_the_radius():
    assert UniversalGradient().step == 5 / 255
    assert UniversalGradient(norm="l2", radius=1.1).step == 0.55


@pytest.mark.parametrize("option", ["step", "cap", "radius"])
def test_refuses_impossible_options(option):
    with pytest.raises(ValueError, match=f"UniversalGradient: {option}=0 must be above 0"):
        UniversalGradient(**{option: 0})
