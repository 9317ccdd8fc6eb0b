"""Gradient attacks beside closed forms on affine models, and the passes that they may take."""

import pytest
import torch
import torch.nn.functional as F

from attacks import FGSM, IGSM, PGD, GradientAttack
from attacks.stops import Never, OnSuccess


@pytest.fixture
def two_classes(affine):
    """An affine model of two classes, its direction of attack, and images of class 0 away from the pixels' limits."""
    model = affine(classes=2)
    images = 0.4 + 0.2 * torch.rand(200, 2, 3, 3, dtype=torch.float64)
    images = images[model(images).argmax(1) == 0][:20]
    direction = (model.weight[1] - model.weight[0]).detach().view(2, 3, 3)
    return model, images, direction


def test_fgsm_is_the_optimum_of_an_affine_model(two_classes):
    model, images, direction = two_classes
    result = FGSM(0.1)(model, images)
    torch.testing.assert_close(result.images, images + 0.1 * direction.sign())


def test_gradient_attack_is_the_optimum_of_an_affine_model(two_classes):
    model, images, direction = two_classes
    result = GradientAttack(0.3)(model, images)
    torch.testing.assert_close(result.images, images + 0.3 * direction / direction.norm())


@pytest.mark.parametrize("random_start", [True, False])
def test_pgd_finds_the_optimum_of_an_affine_model(two_classes, random_start):
    model, images, direction = two_classes
    linf = PGD("linf", 0.1, steps=20, random_start=random_start)(model, images)
    torch.testing.assert_close(linf.images, images + 0.1 * direction.sign())
    l2 = PGD("l2", 0.3, 2.0, steps=60, random_start=random_start)(model, images)
    torch.testing.assert_close(l2.images, images + 0.3 * direction / direction.norm(), rtol=0, atol=1e-6)


def test_the_box_cuts_the_optimum_off(two_classes):
    model, images, direction = two_classes
    images = (images - 0.5) * 5 + 0.5
    images = images.clamp(0, 1)
    result = PGD("linf", 0.3, steps=40)(model, images, torch.zeros(len(images), dtype=torch.long))
    torch.testing.assert_close(result.images, (images + 0.3 * direction.sign()).clamp(0, 1))


def test_success_on_an_affine_model_is_decided_by_the_dual_norm(two_classes):
    model, images, direction = two_classes
    needed = (model(images)[:, 0] - model(images)[:, 1]).detach() / direction.abs().sum()
    for eps in needed.quantile(torch.tensor([0.22, 0.53, 0.86], dtype=torch.float64)):
        result = IGSM(float(eps), step=float(eps) / 8, steps=12)(model, images)
        assert torch.equal(result.success, needed < float(eps))
        assert 0 < result.success.sum() < len(images)


def test_fgsm_beside_a_plain_computation(network, correct):
    images, labels = correct
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels), x)
    expected = (images + 8 / 255 * gradient.sign()).clamp(0, 1)
    torch.testing.assert_close(FGSM()(network, images, labels).images, expected)


def test_igsm_beside_a_plain_computation(network, correct):
    images, labels = correct[0].double(), correct[1]
    x = images
    for _ in range(10):
        x = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(network.double()(x), labels), x)
        x = torch.minimum(torch.maximum(x.detach() + gradient.sign() / 255, images - 8 / 255), images + 8 / 255)
        x = x.clamp(0, 1)
    torch.testing.assert_close(IGSM(8 / 255, stop="never")(network, images, labels).images, x)


def test_the_default_steps_of_igsm_are_those_of_its_paper():
    assert [IGSM(levels / 255).steps for levels in (2, 4, 8, 16, 32)] == [3, 5, 10, 20, 36]


def test_stopping_changes_no_path(network, correct):
    """With a success stop an image is the first point of the full path that fools the network."""
    network, images, labels = network.double(), correct[0].double(), correct[1]
    stopped = PGD("linf", 0.15, 0.03, steps=8, stop="success")(network, images, labels)
    for step in range(1, 9):
        path = PGD("linf", 0.15, 0.03, steps=step)(network, images, labels)
        here = stopped.success & (stopped.steps == step)
        torch.testing.assert_close(stopped.images[here], path.images[here])
        assert path.success[here].all()
        assert not path.success[stopped.steps > step].any()
    assert len(stopped.steps.unique()) > 3


def test_restarts_only_help(network, correct):
    few, many = (PGD("linf", 0.12, 0.04, steps=1, restarts=n, stop="success")(network, *correct) for n in (1, 6))
    assert (few.success <= many.success).all()
    assert many.success.sum() > few.success.sum()
    assert torch.equal(few.images[few.success], many.images[few.success])


def test_of_restarts_the_best_point_is_kept(network, correct):
    images, labels = correct[0].double(), correct[1]
    margins = []
    for restarts in (1, 2, 4):
        result = PGD("linf", 0.05, steps=2, restarts=restarts)(network.double(), images, labels)
        scores = network(result.images).detach()
        own = scores.gather(1, labels[:, None])[:, 0]
        margins.append(scores.scatter(1, labels[:, None], -torch.inf).amax(1) - own)
    assert (margins[0] <= margins[1]).all()
    assert (margins[1] <= margins[2]).all()
    assert (margins[0] < margins[2]).any()


def passes(attack, counting, network, *arguments, call="__call__"):
    model = counting(network)
    getattr(attack, call)(model, *arguments)
    return model.forwards / len(arguments[0]), model.backwards / len(arguments[0])


def test_training_takes_no_pass_more_than_the_steps(network, correct, counting):
    assert passes(FGSM(), counting, network, *correct, call="perturb") == (1, 1)
    assert passes(PGD(steps=7), counting, network, *correct, call="perturb") == (7, 7)
    assert passes(PGD(steps=1, step=10 / 255), counting, network, *correct, call="perturb") == (1, 1)
    assert passes(FGSM(), counting, network, correct[0], call="perturb") == (1, 1)


def test_evaluation_adds_a_look_before_and_after(network, correct, counting):
    assert passes(FGSM(), counting, network, *correct) == (2, 1)
    assert passes(IGSM(steps=5, stop="never"), counting, network, *correct) == (6, 5)
    assert passes(PGD(steps=7), counting, network, *correct) == (9, 7)


def test_stopping_saves_most_passes(network, correct, counting):
    full = passes(PGD("linf", 0.25, steps=20), counting, network, *correct)
    stopped = passes(PGD("linf", 0.25, steps=20, stop="success"), counting, network, *correct)
    assert sum(stopped) < sum(full) / 2


@pytest.mark.parametrize(
    "attack",
    [FGSM(), IGSM(), PGD(), PGD(stop="success", eps=0.2), PGD("l2", 0.5, restarts=2, stop="success")],
    ids=["fgsm", "igsm", "pgd", "stop", "restarts"],
)
@pytest.mark.parametrize("given", [True, False])
def test_perturb_gives_the_images_of_the_call(attack, given, network, correct):
    arguments = correct if given else correct[:1]
    images = attack.perturb(network, *arguments)
    assert torch.equal(images, attack(network, *arguments).images)
    with torch.inference_mode():
        assert torch.equal(images, attack.perturb(network, *arguments))


def test_perturb_leaves_the_training_alone(network, correct):
    """One optimiser step with a budget of zero equals one without the attack."""
    ends = []
    for attack in (None, PGD(eps=0.0, step=0.0)):
        torch.manual_seed(0)
        copy = type(network)().train()
        copy.load_state_dict(network.state_dict())
        optimizer = torch.optim.SGD(copy.parameters(), lr=0.1)
        for batch in torch.arange(40).split(20):
            x = correct[0][batch]
            x = attack.perturb(copy, x, correct[1][batch], generator=torch.Generator()) if attack else x
            optimizer.zero_grad()
            F.cross_entropy(copy(x), correct[1][batch]).backward()
            optimizer.step()
        ends.append(copy.state_dict())
    torch.testing.assert_close(*ends, rtol=0, atol=0)


def test_perturb_refuses_in_words(network, correct):
    images, labels = correct
    with pytest.raises(ValueError, match="images hold pixels from 0 to 255"):
        PGD().perturb(network, images * 255, labels)
    with pytest.raises(ValueError, match="labels run from"):
        PGD().perturb(network, images, labels + 5)


def test_random_starts_fill_the_ball_and_follow_the_generator(network, correct):
    images, labels = 0.25 + correct[0] / 2, correct[1]
    attack = PGD("linf", 0.1, step=0.0, steps=1)
    offsets = attack.perturb(network, images, labels) - images
    assert offsets.abs().max() <= 0.1 + 1e-6
    assert abs(offsets.std() - 0.2 / 12**0.5) < 1e-3
    generator = torch.Generator().manual_seed(1)
    first, second = (attack.perturb(network, images, labels, generator=generator) for _ in range(2))
    assert not torch.equal(first, second)


def test_another_budget():
    attack = PGD(eps=0.1, step=0.02)
    half = attack.at(0.05)
    assert (half.eps, half.step, half.steps) == (0.05, 0.01, 10)
    assert (attack.eps, attack.step) == (0.1, 0.02)
    with pytest.raises(ValueError, match="PGD: eps=16 is more than the whole range"):
        attack.at(16)


def test_names_stand_for_objects():
    assert isinstance(PGD(stop="success").stop, OnSuccess)
    assert isinstance(PGD(stop=Never()).stop, Never)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": 8}, "PGD: eps=8 is more than the whole range of pixels.*write 8/255 as 0.03137"),
        ({"eps": -0.1}, "PGD: eps=-0.1 must be at least 0"),
        ({"steps": 0}, "PGD: steps=0 must be at least 1"),
        ({"step": float("nan")}, "PGD: step=nan must be at least 0"),
        ({"restarts": 3, "random_start": False}, "restarts=3 would repeat one path"),
        ({"norm": "L1"}, "norm='L1' is unknown: give one of linf, l2"),
        ({"stop": "always"}, "stop='always' is unknown: give one of never, success"),
    ],
)
def test_refused_in_words(settings, message):
    with pytest.raises(ValueError, match=message):
        PGD(**settings)
