"""DeepFool beside exact distances, a plain loop, and real networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from attacks import ClipBox, DeepFool, MaskBox, NoBox
from attacks.norms import L2, Linf
from networks import IMAGENET_MEAN, IMAGENET_STD, CifarResNet

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
NORMS = pytest.mark.parametrize(("name", "norm"), [("l2", L2()), ("linf", Linf())])


@pytest.fixture
def central():
    """Images so far from 0 and 1 that no small move leaves the range."""
    return 0.45 + 0.1 * torch.rand(40, 2, 3, 3, dtype=torch.float64)


def exact_distances(model, images, norm):
    """min over k of |f_k − f_0| / ‖w_k − w_0‖ in the dual norm."""
    scores = model(images).detach()
    own = scores.argmax(1)
    gaps = scores.gather(1, own[:, None]) - scores  # (N, K)
    normals = model.weight.detach()[None] - model.weight.detach()[own][:, None]  # (N, K, D)
    distances = gaps / norm.dual(normals.flatten(0, 1)).view_as(gaps)
    return distances.scatter(1, own[:, None], torch.inf).amin(1)


@NORMS
def test_the_exact_distance_of_an_affine_model(name, norm, affine, central):
    model = affine()
    result = DeepFool(name, min_step=0)(model, central)
    assert result.success.all()
    exact = exact_distances(model, central, norm)
    assert exact.max() < 0.4
    torch.testing.assert_close(norm.size(result.images - central), 1.02 * exact, rtol=1e-9, atol=0)
    assert (result.steps == 1).all()


@NORMS
def test_the_least_step_is_added_before_the_overshoot(name, norm, affine, central):
    model = affine()
    result = DeepFool(name, overshoot=0.1, min_step=0.001)(model, central)
    expected = 1.1 * (exact_distances(model, central, norm) + 0.001)
    torch.testing.assert_close(norm.size(result.images - central), expected, rtol=1e-9, atol=0)


def test_a_target_of_an_affine_model_is_reached_near_its_region(affine, central):
    """Beside the exact projection onto the target's region, by quadratic programming over its half-spaces."""
    model, targets = affine(), torch.arange(40) % 5
    result = DeepFool("l2", min_step=0)(model, central, targets=targets)
    assert (result.success | result.already).all()
    moved = result.success
    exact = torch.stack([distance_to_region(model, x, int(t)) for x, t in zip(central[moved], targets[moved])])
    ratio = L2().size(result.images - central)[moved] / exact
    assert ratio.min() >= 1 - 1e-6
    assert ratio.median() < 1.05
    assert ratio.max() < 1.5


def distance_to_region(model, image, target):
    """Dykstra's alternating projections onto the half-spaces where the target wins."""
    weight, bias = model.weight.detach(), model.bias.detach()
    others = [k for k in range(len(weight)) if k != target]
    normals, offsets = weight[target] - weight[others], bias[target] - bias[others]
    point, corrections = image.flatten().clone(), torch.zeros(len(others), image.numel(), dtype=image.dtype)
    for _ in range(300):
        for k, (normal, offset) in enumerate(zip(normals, offsets)):
            candidate = point + corrections[k]
            point = candidate - min(0.0, float(normal @ candidate + offset)) * -normal / -normal.square().sum()
            corrections[k] = candidate - point
    return (point - image.flatten()).norm()


def test_beside_a_plain_loop_over_one_image(network, correct):
    network, images = network.double(), correct[0][:15].double()
    result = DeepFool("l2", candidates=4, box=NoBox())(network, images)
    for image, found in zip(images, result.images):
        torch.testing.assert_close(found, plain_deepfool(network, image[None], 4)[0], rtol=0, atol=1e-9)


def plain_deepfool(network, image, candidates, overshoot=0.02, least=1e-4):
    """Algorithm 2 as printed, with the overshoot and the least step of the authors' code."""
    order = network(image)[0].argsort(descending=True)[:candidates].tolist()
    moves, x = torch.zeros_like(image), image
    for _ in range(50):
        jacobian = torch.autograd.functional.jacobian(lambda z: network(z)[0], x)[:, 0]  # (K, C, H, W)
        scores = network(x)[0].detach()
        if scores.argmax() != order[0]:
            break
        options = []
        for k in order[1:]:
            normal = jacobian[k] - jacobian[order[0]]
            options.append((float((scores[k] - scores[order[0]]).abs() / normal.norm()), normal))
        distance, normal = min(options, key=lambda option: option[0])
        moves = moves + (distance + least) * normal / normal.norm()
        x = image + (1 + overshoot) * moves
    return x


def test_the_overshoot_multiplies_the_sum_of_all_moves(network, correct):
    """Per step it would converge onto the boundary and mostly fail; right, nearly all of a trained network's fall."""
    result = DeepFool("l2", min_step=0, box=NoBox())(network, *correct)
    assert result.success.float().mean() >= 0.99


@pytest.mark.parametrize("box", [ClipBox(), MaskBox()], ids=repr)
def test_boxes_keep_pixels_in_range(box, network, correct):
    result = DeepFool(box=box)(network, *correct)
    assert result.success.all()
    assert result.images.min() == 0
    assert result.images.max() == 1


def test_without_a_box_images_may_leave_the_range_and_lie_outside(network, correct):
    result = DeepFool(box=NoBox())(network, correct[0] + 0.2)
    assert result.images.max() > 1.2
    with pytest.raises(ValueError, match="images hold pixels from 0.2 to 1.2"):
        DeepFool()(network, correct[0] + 0.2)


def test_masked_pixels_do_not_count_towards_the_distance(affine):
    """One pixel is stuck at 0: the nearest point of the range is that of the model without it."""
    model = affine(classes=2)
    with torch.no_grad():
        model.weight[0, 0], model.weight[1, 0] = 3.0, -3.0  # the attack on class 0 wants pixel 0 darker
    images = 0.45 + 0.1 * torch.rand(40, 2, 3, 3, dtype=torch.float64)
    images[:, 0, 0, 0] = 0
    images = images[model(images).argmax(1) == 0]
    blind = affine(classes=2)
    with torch.no_grad():
        blind.weight.copy_(model.weight)
        blind.weight[:, 0] = 0
        blind.bias.copy_(model.bias)
    result = DeepFool(box=MaskBox(), min_step=0)(model, images)
    torch.testing.assert_close(L2().size(result.images - images), 1.02 * exact_distances(blind, images, L2()))
    assert (DeepFool(min_step=0)(model, images).steps > 1).any()


def test_passes(network, correct, counting):
    """One forward pass and one gradient per contender a step, also for an image that takes long."""
    for candidates in (2, 5, 10):
        for image in correct[0][:5]:
            result = DeepFool(candidates=candidates)(network, image[None])
            assert int(result.forward_passes) == int(result.steps) + 1
            assert int(result.backward_passes) == (candidates - 1) * int(result.steps)


def test_finished_images_cost_nothing(network, correct):
    alone = [DeepFool()(network, image[None]) for image in correct[0][:20]]
    together = DeepFool()(network, correct[0][:20])
    least = sum(int(result.backward_passes) for result in alone)
    assert int(together.backward_passes.sum()) < 1.2 * least


def test_steps_run_out(network, correct):
    full = DeepFool()(network, *correct)
    short = DeepFool(steps=1)(network, *correct)
    assert short.steps.max() == 1
    assert torch.equal(short.success, full.steps <= 1)
    assert torch.equal(short.images[~short.success], correct[0][~short.success])


def test_a_published_network_is_fooled_by_little():
    """ResNet-20 on real pictures; two peers' DeepFool finds the same mean distance on them."""
    files = [DATA / "cifar10/cifar10_true_pixels_3000.npz", DATA / "cifar10_models/resnet20.th"]
    if not all(file.exists() for file in files):
        pytest.skip("there is no CIFAR-10 in the shared data")
    network = CifarResNet(20, mean=IMAGENET_MEAN, std=IMAGENET_STD, weights=str(files[1]))
    pictures = np.load(files[0])
    images = torch.from_numpy(pictures["test_x"][:60]).permute(0, 3, 1, 2) / 255
    labels = torch.from_numpy(pictures["test_y"][:60]).long()
    with torch.no_grad():
        right = (network.eval()(images).argmax(1) == labels).nonzero()[:48, 0]
    result = DeepFool(candidates=4)(network, images[right], labels[right])
    assert result.success.all()
    assert L2().size(result.images - images[right]).mean() == pytest.approx(0.137, abs=0.002)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": 1}, "DeepFool: candidates=1 must be at least 2"),
        ({"overshoot": -0.1}, "DeepFool: overshoot=-0.1 must be at least 0"),
        ({"steps": 0}, "DeepFool: steps=0 must be at least 1"),
        ({"norm": "l0"}, "norm='l0' is unknown: give one of linf, l2"),
    ],
)
def test_refused_in_words(settings, message):
    with pytest.raises(ValueError, match=message):
        DeepFool(**settings)
