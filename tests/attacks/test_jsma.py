"""JSMA beside a plain loop over all pairs, and its budget."""

import pytest
import torch

from attacks import JSMA, Pairs, Singles


def changed(result, images):
    return (result.images != images).flatten(1).sum(1)


@pytest.mark.parametrize("theta", [1.0, -1.0, 0.4])
def test_beside_a_plain_loop_over_all_pairs(theta, network, correct):
    network, images = network.double(), 0.2 + 0.6 * correct[0][:5].double()
    targets = network(images).topk(2).indices[:, 1]
    result = JSMA(theta, gamma=0.8)(network, images, targets=targets)
    for image, target, ours in zip(images, targets.tolist(), result.images):
        expected = plain_jsma(network, image, target, theta, steps=int(0.8 * 64) // 2)
        torch.testing.assert_close(ours, image if expected is None else expected)
    assert result.success.any()


def plain_jsma(network, image, target, theta, steps):
    """Algorithm 3 of the paper, as printed; None where it fails."""
    x, domain = image.clone(), set(range(image.numel()))
    for step in range(steps + 1):
        if network(x[None]).argmax() == target:
            return x
        jacobian = torch.autograd.functional.jacobian(lambda z: network(z[None])[0], x).flatten(1)
        alpha, beta = jacobian[target], jacobian.sum(0) - jacobian[target]
        flat = x.flatten()
        room = [i for i in domain if (flat[i] < 1 if theta > 0 else flat[i] > 0)]
        best, pair = 0.0, None
        for i, p in enumerate(room):
            for q in room[i + 1 :]:
                a, b = float(alpha[p] + alpha[q]), float(beta[p] + beta[q])
                if theta < 0:
                    a, b = -a, -b
                if a > 0 and b < 0 and -a * b > best:
                    best, pair = -a * b, (p, q)
        if pair is None or step == steps:
            return None
        domain -= set(pair)
        x = x.flatten().index_add(0, torch.tensor(pair), torch.full((2,), theta, dtype=x.dtype)).clamp(0, 1)
        x = x.view_as(image)
    return None


@pytest.mark.parametrize(("saliency", "count"), [(Pairs(), 2), (Singles(), 1)])
def test_few_components_change(saliency, count, network, correct):
    images, labels = correct
    result = JSMA(gamma=0.2, saliency=saliency)(network, images, labels)
    assert result.success.float().mean() > 0.5
    assert (changed(result, images) <= count * result.steps).all()
    assert changed(result, images).max() <= 0.2 * 64
    assert (changed(result, images)[~result.success] == 0).all()


@pytest.mark.parametrize("saliency", [Pairs(), Singles()], ids=repr)
def test_of_walkers_that_arrive_together_one_is_kept_whole(saliency, network, correct):
    """From black and white pixels as many changes are the same distance, so that walkers of an image often tie."""
    images, labels = correct[0].round(), predicted(network, correct[0].round())
    one, other = (JSMA(gamma=0.5, saliency=saliency)(network, images, labels) for _ in range(2))
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.success, predicted(network, one.images) != labels)
    assert (changed(one, images) <= saliency.count * one.steps).all()
    assert one.success.float().mean() > 0.5


@torch.no_grad()
def predicted(network, images):
    return network(images).argmax(1)


def test_components_only_grow_or_only_shrink(network, correct):
    for theta in (1.0, -1.0):
        result = JSMA(theta, gamma=0.5)(network, *correct)
        delta = result.images - correct[0]
        assert result.success.any()
        assert (delta * theta >= 0).all()


def test_whole_pixels_move_together(affine):
    model = affine(shape=(3, 6, 6))
    images = 0.2 + 0.2 * torch.rand(10, 3, 6, 6, dtype=torch.float64)
    result = JSMA(0.5, gamma=0.5, saliency=Singles(), whole_pixels=True)(model, images)
    delta = (result.images - images)[result.success]
    assert len(delta) > 5
    assert ((delta != 0).all(1) == (delta != 0).any(1)).all()


def test_a_component_may_be_used_again(affine):
    model = affine(classes=2, shape=(1, 1, 3))
    model.weight.data = torch.tensor([[-1.0, -0.1, -0.1], [1.0, 0.1, 0.1]], dtype=torch.float64)
    model.bias.data = torch.tensor([0.5, 0.0], dtype=torch.float64)
    images = torch.zeros(1, 1, 1, 3, dtype=torch.float64)
    once, again = (JSMA(0.1, gamma=1.0, saliency=Singles(), reuse=reuse)(model, images) for reuse in (False, True))
    assert not once.success
    assert again.success
    torch.testing.assert_close(again.images.flatten(), torch.tensor([0.3, 0.0, 0.0], dtype=torch.float64))


def test_more_candidates_change_fewer_components(network, correct):
    few, many = (JSMA(gamma=0.5, candidates=n)(network, *correct) for n in (2, 10))
    both = few.success & many.success
    assert (few.success <= many.success).all()
    assert (many.steps[both] <= few.steps[both]).all()
    assert (many.steps[both] < few.steps[both]).any()


def test_each_walker_costs_a_forward_pass_and_two_gradients_a_step(network, correct):
    for image, label in zip(correct[0][:5], correct[1][:5]):
        result = JSMA(gamma=1.0)(network, image[None], targets=label[None] - 1 if label else label[None] + 1)
        if not result.success:
            continue
        assert int(result.backward_passes) == 2 * int(result.steps)
        assert int(result.forward_passes) == int(result.steps) + 2  # the clean image is looked at first


def test_three_classes(affine):
    result = JSMA(gamma=1.0)(affine(classes=3, shape=(1, 4, 4)), torch.rand(10, 1, 4, 4, dtype=torch.float64))
    assert result.success.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"theta": 0.0}, "JSMA: theta=0.0 must not be 0 and lie in"),
        ({"theta": 255.0}, "JSMA: theta=255.0 must not be 0 and lie in"),
        ({"gamma": 0.0}, "JSMA: gamma=0.0 must lie in"),
        ({"gamma": 10}, "JSMA: gamma=10 must lie in .*share of components"),
        ({"candidates": 1}, "JSMA: candidates=1 must be at least 2"),
    ],
)
def test_refused_in_words(settings, message):
    with pytest.raises(ValueError, match=message):
        JSMA(**settings)
