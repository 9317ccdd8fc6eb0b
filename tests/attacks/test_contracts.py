"""One table of all attacks: what each of them promises."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from attacks import (
    FGSM,
    IGSM,
    JSMA,
    LBFGS,
    PGD,
    AtSize,
    Attack,
    CarliniWagner,
    DeepFool,
    GradientAttack,
    MaskBox,
    Singles,
    UniversalGradient,
    UniversalPerturbation,
)
from attacks.norms import L2, Linf
from attacks.stops import OnSuccess
from attacks.victim import LAUNCH


class Row(NamedTuple):
    """An attack and what it promises.

    name: id of the test.
    attack: settings that are quick on small images.
    norm: in which it measures; a fixed budget is ``attack.eps`` of it.
    fooled: share of the trained network's digits that it fools at least, towards any class and towards a target;
        without a target in mind it reaches the latter by chance, less than half as often.
    """

    name: str
    attack: Attack
    norm: Linf | L2
    fooled: tuple[float, float]


FIXED = [
    Row("fgsm", FGSM(0.25), Linf(), (0.6, 0.5)),
    Row("gradient", GradientAttack(2.0), L2(), (0.6, 0.6)),
    Row("igsm", IGSM(0.25, step=0.05, steps=10), Linf(), (0.95, 0.8)),
    Row("pgd_linf", PGD("linf", 0.25, steps=10), Linf(), (0.95, 0.8)),
    Row("pgd_linf_stop", PGD("linf", 0.25, steps=10, stop="success"), Linf(), (0.95, 0.8)),
    Row("pgd_l2", PGD("l2", 2.0, steps=10), L2(), (0.95, 0.9)),
    Row("pgd_l2_restarts", PGD("l2", 1.0, steps=5, restarts=3, stop="success"), L2(), (0.7, 0.5)),
    Row("pgd_restarts_never", PGD("linf", 0.2, steps=5, restarts=3), Linf(), (0.9, 0.5)),
]
MINIMUM = [
    Row("deepfool_l2", DeepFool(), L2(), (0.99, 0.95)),
    Row("deepfool_linf", DeepFool("linf"), Linf(), (0.99, 0.9)),
    Row("deepfool_mask", DeepFool(box=MaskBox(), candidates=4), L2(), (0.99, 0.9)),
    Row("carlini_wagner", CarliniWagner(0, 40, 0.08, 3, 1.0), L2(), (0.99, 0.95)),
    Row("lbfgs", LBFGS(steps=12, searches=3), L2(), (0.99, 0.95)),
    Row("jsma_pairs", JSMA(gamma=0.5, candidates=4), L2(), (0.9, 0.6)),
    Row("jsma_singles", JSMA(gamma=0.5, saliency=Singles(), candidates=3), L2(), (0.7, 0.25)),
]
SIZED = [
    Row("pgd_at_size", AtSize(PGD("linf", 0.25, steps=10, stop="success"), 0.2), L2(), (0.95, 0.7)),
    Row("deepfool_at_size", AtSize(DeepFool(candidates=4), 0.2), L2(), (0.9, 0.8)),
]
ROWS = FIXED + MINIMUM + SIZED


def table(rows):
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


def others(labels, classes=10):
    """A class per image that is not its label."""
    return (labels + 1 + torch.arange(len(labels)) % (classes - 1)) % classes


def predictions(network, images):
    with torch.no_grad():
        return network.eval()(images).argmax(1)


@table(ROWS)
def test_it_fools_a_trained_network(row, network, correct):
    images, labels = correct
    result = row.attack(network, images, labels)
    moved = predictions(network, result.images) != labels
    assert torch.equal(result.success, moved)
    assert moved.float().mean() >= row.fooled[0]
    assert not result.already.any()


@table(ROWS)
def test_it_reaches_targets(row, network, correct):
    images, labels = correct
    targets = others(labels)
    result = row.attack(network, images, labels, targets=targets)
    hit = predictions(network, result.images) == targets
    assert torch.equal(result.success, hit)
    assert hit.float().mean() >= row.fooled[1]
    by_chance = predictions(network, row.attack(network, images, labels).images) == targets
    assert by_chance.float().mean() < row.fooled[1] / 2


@table(ROWS)
def test_images_stay_images(row, network, correct):
    images, labels = correct
    result = row.attack(network, images, labels)
    assert result.images.shape == images.shape
    assert result.images.dtype == images.dtype
    assert result.images.device == images.device
    assert not result.images.requires_grad
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    for per_image in (result.success, result.already, result.steps, result.forward_passes, result.backward_passes):
        assert per_image.shape == (len(images),)
    assert torch.equal(images, correct[0])


@table(FIXED)
def test_the_budget_holds_and_a_budget_of_zero_changes_nothing(row, network, correct):
    images, labels = correct
    result = row.attack(network, images, labels)
    sizes = row.norm.size(result.images - images)
    assert sizes.max() <= row.attack.eps + 1e-6
    assert sizes.max() >= 0.9 * row.attack.eps
    nothing = row.attack.at(0.0)(network, images, labels)
    assert torch.equal(nothing.images, images)
    assert not nothing.success.any()


@table([*MINIMUM, SIZED[1]])  # AtSize keeps what DeepFool left as it was
def test_an_image_that_cannot_be_fooled_comes_back(row, unfoolable):
    images = torch.rand(5, 3, 4, 4)
    result = row.attack(unfoolable, images)
    assert torch.equal(result.images, images)
    assert not result.success.any()
    assert not result.already.any()


@table(FIXED + SIZED)
def test_nobody_claims_to_have_fooled_an_unfoolable_model(row, unfoolable):
    images = torch.rand(5, 3, 4, 4)
    result = row.attack(unfoolable, images)
    assert not result.success.any()
    assert not result.already.any()


@table(ROWS)
def test_pixels_at_exactly_0_and_1_are_attacked_like_others(row, network, correct):
    images = correct[0].round()
    with torch.no_grad():
        labels = network(images).argmax(1)
    result = row.attack(network, images, labels)
    assert result.success.float().mean() >= row.fooled[0] - 0.1
    moved = (result.images != images)[result.success]
    assert moved[images[result.success] == 0].any()
    assert moved[images[result.success] == 1].any() or isinstance(row.attack, JSMA)  # theta only brightens


@table([row for row in MINIMUM if not isinstance(row.attack, JSMA)])
def test_minimum_norm_attacks_beat_fixed_steps(row, network, correct):
    """The median distance is below the budget at which a strong attack fools half of the images."""
    result = row.attack(network, *correct)
    median = row.norm.size(result.images - correct[0]).median()
    name = "linf" if isinstance(row.norm, Linf) else "l2"
    rival = PGD(name, 1.1 * float(median), steps=40, stop="success")(network, *correct)
    assert rival.success.float().mean() < 0.75


@table(ROWS)
def test_without_gradient_nothing_becomes_nan(row, zero_gradient):
    images = torch.rand(5, 3, 4, 4)
    result = row.attack(zero_gradient, images)
    assert result.images.isfinite().all()
    assert not result.success.any()


@table(ROWS)
def test_wrong_labels_are_flagged_and_never_count(row, network, correct):
    images, labels = correct
    labels = labels.clone()
    labels[:20] = others(labels)[:20]
    result = row.attack(network, images, labels)
    assert result.already.nonzero().flatten().tolist() == list(range(20))
    assert not result.success[:20].any()
    if isinstance(getattr(row.attack, "stop", OnSuccess()), OnSuccess):
        assert torch.equal(result.images[:20], images[:20])
        assert (result.steps[:20] == 0).all()
        assert (result.backward_passes[:20] <= 1).all()


@table(ROWS)
def test_neighbours_do_not_matter(row, network, correct):
    network, images, labels = network.double(), correct[0][:12].double(), correct[1][:12]
    whole = row.attack(network, images, labels)
    order = torch.tensor([3, 11, 0, 7, 5, 9, 1, 10, 2, 8, 6, 4])
    for part in (order[:1], order[1:5], order[5:]):
        alone = row.attack(network, images[part], labels[part])
        torch.testing.assert_close(alone.images, whole.images[part], rtol=0, atol=1e-9)
        assert torch.equal(alone.success, whole.success[part])
        assert torch.equal(alone.steps, whole.steps[part])


@table(ROWS)
def test_with_a_generator_the_size_of_batches_does_not_matter(row, network, correct):
    network, images, labels = network.double(), correct[0][:8].double(), correct[1][:8]
    generator = torch.Generator().manual_seed(3)
    whole = row.attack(network, images, labels, generator=generator)
    generator.manual_seed(3)
    parts = [row.attack(network, images[part], labels[part], generator=generator) for part in torch.arange(8).split(3)]
    torch.testing.assert_close(torch.cat([part.images for part in parts]), whole.images, rtol=0, atol=1e-9)


@table(ROWS)
def test_the_same_seed_gives_the_same_result(row, network, correct):
    first, second = (row.attack(network, *correct) for _ in range(2))
    assert torch.equal(first.images, second.images)


@table(ROWS)
def test_every_pass_is_counted(row, network, correct, counting):
    images, labels = correct
    labels = labels.clone()
    labels[:5] = others(labels)[:5]
    model = counting(network)
    for settings in ({"labels": labels}, {}, {"targets": others(labels)}):
        model.forwards = model.backwards = 0
        result = row.attack(model, images, **settings)
        assert int(result.forward_passes.sum()) == model.forwards
        assert int(result.backward_passes.sum()) == model.backwards
        assert model.backwards > 0


@table(ROWS)
def test_a_device_that_is_slow_to_launch_passes_changes_no_result(row, network, correct, counting, monkeypatch):
    """What is cheap then, to drag images along or to run copies of them, is decided by this alone."""
    model, images, labels = counting(network.double()), correct[0][:10].double(), correct[1][:10]
    plain = row.attack(model, images, labels)
    monkeypatch.setitem(LAUNCH, "cpu", 2**14)
    model.forwards = model.backwards = 0
    slow = row.attack(model, images, labels)
    torch.testing.assert_close(slow.images, plain.images, rtol=0, atol=1e-9)
    assert torch.equal(slow.steps, plain.steps)
    assert int(slow.forward_passes.sum()) == model.forwards
    assert int(slow.backward_passes.sum()) == model.backwards


def test_many_gradients_become_one_where_launching_takes_longest(network, correct, monkeypatch):
    calls = []
    handle = network.register_forward_hook(lambda module, inputs, scores: calls.append(len(inputs[0])))
    monkeypatch.setitem(LAUNCH, "cpu", 2**14)
    result = DeepFool()(network, correct[0][:1], correct[1][:1])
    handle.remove()
    assert result.backward_passes.tolist() == [9 * int(result.steps)]
    assert calls == [1, 9] * int(result.steps) + [1]


def state(network):
    return {
        "training": [part.training for part in network.modules()],
        "requires_grad": [parameter.requires_grad for parameter in network.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in network.parameters()],
        "tensors": {name: tensor.clone() for name, tensor in network.state_dict().items()},
        "random": torch.get_rng_state(),
        "grad_enabled": torch.is_grad_enabled(),
    }


def unusual(network):
    """In train mode but for a part, with a frozen weight and a gradient that is left from training."""
    network.train()
    network.layers[1].eval()
    network.layers[0].weight.requires_grad_(False)
    network.layers[8].bias.grad = torch.ones(10)
    return network


@table(ROWS)
def test_nothing_is_left_behind(row, network, correct):
    before = state(unusual(network))
    row.attack(network, correct[0][:6], correct[1][:6])
    torch.testing.assert_close(state(network), before, rtol=0, atol=0)


class BreaksDown(nn.Module):
    """Fails after so many healthy passes, with random numbers drawn before."""

    def __init__(self, network, healthy=2):
        super().__init__()
        self.network = network
        self.healthy = healthy

    def forward(self, images):
        torch.rand(3)
        self.healthy -= 1
        if self.healthy < 0:
            raise RuntimeError("on purpose")
        return self.network(images)


@table(ROWS)
def test_nothing_is_left_behind_after_an_error(row, network, correct):
    model = BreaksDown(unusual(network), healthy=1)
    before = state(model)
    with pytest.raises(RuntimeError, match="on purpose"):
        row.attack(model, correct[0][:6], correct[1][:6])
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    "craft", [UniversalPerturbation(passes=1), UniversalGradient(passes=1)], ids=["moves", "gradient"]
)
@pytest.mark.parametrize("healthy", [1, 2])  # the first pass is that of the clean images
def test_nothing_is_left_behind_after_an_error_in_a_craft(craft, healthy, network, correct):
    model = BreaksDown(unusual(network), healthy)
    before = state(model)
    with pytest.raises(RuntimeError, match="on purpose"):
        craft([model], correct[0][:6])
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)


@table(ROWS)
def test_in_inference_mode(row, network, correct):
    expected = row.attack(network, correct[0][:6], correct[1][:6])
    with torch.inference_mode():
        images, labels = correct[0][:6].clone(), correct[1][:6].clone()
        assert images.is_inference()
        result = row.attack(network, images, labels)
        assert not result.images.is_inference()
    torch.testing.assert_close(result.images, expected.images)


@table(ROWS)
def test_under_autocast(row, network, correct):
    images, labels = correct
    with torch.autocast("cpu", torch.bfloat16):
        result = row.attack(network, images, labels)
    assert result.images.dtype == torch.float32
    fooled = row.attack(network, images, labels).success.float().mean()
    assert result.success.float().mean() >= fooled - 0.1


@pytest.mark.gpu
@pytest.mark.parametrize("mixed", [False, True])
@table(ROWS)
def test_a_gpu_fools_as_many(row, mixed, network, correct):
    fooled = row.attack(network, *correct).success.float().mean()
    network, (images, labels) = network.cuda(), [each.cuda() for each in correct]
    before = state(network.train())
    with torch.autocast("cuda", torch.float16, enabled=mixed):
        result = row.attack(network, images, labels)
    torch.testing.assert_close(state(network), before, rtol=0, atol=0)
    assert result.images.is_cuda
    assert result.images.dtype == torch.float32
    assert torch.equal(result.images.clamp(0, 1), result.images)
    assert abs(result.success.float().mean().cpu() - fooled) <= 0.1
    if not mixed:
        assert torch.equal(predictions(network, result.images) != labels, result.success)


@pytest.mark.gpu
@table(ROWS)
def test_a_gpu_keeps_whole_images_where_points_tie(row, network, correct):
    """From pixels of 0 and 1 walkers of one image arrive at the same distance."""
    network, images = network.cuda(), correct[0].round().cuda()
    labels = predictions(network, images)
    result = row.attack(network, images, labels)
    assert torch.equal(predictions(network, result.images) != labels, result.success)


@table(ROWS)
def test_a_model_in_half_precision(row, network, correct):
    images, labels = correct[0][:20].bfloat16(), correct[1][:20]
    network = network.bfloat16()
    result = row.attack(network, images, labels)
    assert result.images.dtype == torch.bfloat16
    assert torch.equal(result.success, (predictions(network, result.images) != labels) & ~result.already)


@table(ROWS)
def test_a_constant_added_to_all_logits_changes_nothing(row, network, correct):
    network, images, labels = network.double(), correct[0][:10].double(), correct[1][:10]
    plain = row.attack(network, images, labels)
    shifted = row.attack(lambda x: network(x) - 30, images, labels)
    torch.testing.assert_close(shifted.images, plain.images, rtol=0, atol=1e-6)


@table(ROWS)
def test_the_order_of_classes_does_not_matter(row, network, correct):
    network, images, labels = network.double(), correct[0][:10].double(), correct[1][:10]
    order = torch.tensor([3, 1, 9, 0, 7, 5, 2, 8, 6, 4])
    plain = row.attack(network, images, labels)
    permuted = row.attack(lambda x: network(x)[:, order], images, order.argsort()[labels])
    torch.testing.assert_close(permuted.images, plain.images, rtol=0, atol=1e-6)


@table(ROWS)
def test_channels_last_changes_nothing(row, affine):
    model, images = affine(shape=(3, 6, 5)), torch.rand(8, 3, 6, 5, dtype=torch.float64)
    plain = row.attack(model, images)
    last = row.attack(model, images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last.images, plain.images, rtol=0, atol=1e-9)


@table(ROWS)
def test_float32_is_enough(row, network, correct):
    images, labels = correct
    single = row.attack(network, images, labels)
    double = row.attack(network.double(), images.double(), labels)
    assert (single.success == double.success).float().mean() >= 0.95
    sizes = [row.norm.size(result.images - images).mean() for result in (single, double)]
    assert sizes[0] == pytest.approx(float(sizes[1]), rel=0.02)


@table(ROWS)
@pytest.mark.parametrize(("classes", "shape"), [(2, (1, 4, 4)), (3, (3, 5, 4))])
def test_few_classes_and_any_channels(row, affine, classes, shape):
    model = affine(classes, shape, dtype=torch.float32)
    result = row.attack(model, torch.rand(6, *shape))
    assert result.success.any()


@table(ROWS)
def test_an_empty_batch(row, network):
    result = row.attack(network, torch.empty(0, 1, 8, 8), torch.empty(0, dtype=torch.long))
    assert result.images.shape == (0, 1, 8, 8)
    assert result.success.shape == (0,)


@table(ROWS)
def test_its_settings_can_be_read(row):
    assert repr(row.attack).startswith(f"{type(row.attack).__name__}(")
    assert " at 0x" not in repr(row.attack)


REFUSED = {
    "images hold pixels from 0 to 255": lambda x, y: ((x.round() * 255, y), {}),
    "images hold pixels from -0.5 .*leave normalisation to the model's first layer": lambda x, y: ((x - 0.5, y), {}),
    "images hold pixels from nan": lambda x, y: ((x * float("nan"), y), {}),
    "images are torch.uint8": lambda x, y: ((x.byte(), y), {}),
    "labels run from 3 to 10, but the model has 10 classes": lambda x, y: (
        (x, torch.where(torch.arange(6) == 2, 10, y.clamp(3))),
        {},
    ),
    "targets run from -1 to": lambda x, y: ((x,), {"targets": torch.where(torch.arange(6) == 2, -1, (y + 1) % 10)}),
    r"labels are torch.float32 of shape \(6,\)": lambda x, y: ((x, y.float()), {}),
    r"targets are torch.int64 of shape \(5,\) for 6 images": lambda x, y: ((x, y), {"targets": y[:5]}),
    r"targets\[2\]=.* is the label itself": lambda x, y: (
        (x, y),
        {"targets": torch.where(torch.arange(6) == 2, y, (y + 1) % 10)},
    ),
}


@table(ROWS[:1] + MINIMUM)
@pytest.mark.parametrize("message", REFUSED)
def test_refused_in_words(row, network, correct, message):
    arguments, settings = REFUSED[message](correct[0][:6], correct[1][:6])
    with pytest.raises(ValueError, match=message):
        row.attack(network, *arguments, **settings)


def test_probabilities_earn_a_warning(network, correct):
    with pytest.warns(UserWarning, match="look like probabilities.*return logits"):
        FGSM()(lambda x: network(x).softmax(1), *correct)


def test_nan_scores_are_refused(network, correct):
    with pytest.raises(ValueError, match="the model returned NaN"):
        FGSM()(lambda x: network(x) * float("nan"), *correct)


def test_pixels_with_float_error_are_accepted(network, correct):
    images = correct[0] + 5e-6
    result = FGSM()(network, images, correct[1])
    assert result.images.max() <= 1


def test_a_target_that_is_predicted_already_is_no_success(network, correct):
    result = PGD(stop="success")(network, correct[0], targets=correct[1])
    assert result.already.all()
    assert not result.success.any()
    assert torch.equal(result.images, correct[0])
