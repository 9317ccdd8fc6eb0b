"""Carlini and Wagner's attack beside exact distances, and what its peers got wrong."""

import pytest
import torch

from attacks import CarliniWagner, DeepFool
from attacks.adam import Adam
from attacks.norms import L2

QUICK = {"steps": 100, "searches": 4, "initial_c": 1.0, "learning_rate": 0.05}


@pytest.fixture
def central():
    return 0.3 + 0.4 * torch.rand(30, 2, 3, 3, dtype=torch.float64)


def exact_distances(model, images, confidence=0.0):
    """min over k of (f_0 − f_k + κ) / ‖w_k − w_0‖₂."""
    scores = model(images).detach()
    own = scores.argmax(1)
    gaps = scores.gather(1, own[:, None]) - scores + confidence
    normals = model.weight.detach()[None] - model.weight.detach()[own][:, None]
    return (gaps / normals.norm(dim=2)).scatter(1, own[:, None], torch.inf).amin(1)


@pytest.mark.parametrize("confidence", [0.0, 0.5])
def test_it_comes_near_the_exact_distance_of_an_affine_model(confidence, affine, central):
    model = affine(classes=2)  # with more, the class that leads at first need not be the nearest
    central = central[exact_distances(model, central) > 0.05]
    result = CarliniWagner(confidence, steps=500, searches=8, initial_c=1.0)(model, central)
    assert result.success.all()
    ratio = L2().size(result.images - central) / exact_distances(model, central, confidence)
    assert ratio.min() >= 1 - 1e-9
    assert ratio.median() < 1.01
    assert ratio.max() < 1.05


def test_a_point_counts_only_beyond_the_margin(network, correct):
    images, labels = correct[0][:20], correct[1][:20]
    for confidence in (0.0, 4.0):
        result = CarliniWagner(confidence, **QUICK)(network, images, labels)
        scores = network(result.images).detach()
        own = scores.gather(1, labels[:, None])[:, 0]
        margin = scores.scatter(1, labels[:, None], -torch.inf).amax(1) - own
        assert result.success.all()
        assert (margin >= confidence - 1e-4).all()
        assert margin.median() < confidence + 1


def test_it_is_nearer_than_deepfool(network, correct):
    images, labels = correct[0][:20], correct[1][:20]
    ours = CarliniWagner(**QUICK | {"searches": 7})(network, images, labels)
    rival = DeepFool()(network, images, labels)
    assert ours.success.all()
    assert L2().size(ours.images - images).mean() < 0.95 * L2().size(rival.images - images).mean()


def test_pixels_at_the_ends_of_the_range_move(affine):
    """All pixels are 0 or 1, and only pixels that are 0 matter."""
    model = affine(classes=2)
    images = (torch.rand(10, 2, 3, 3) < 0.5).double()
    images[:, 0] = 0
    with torch.no_grad():
        model.weight.view(2, 2, 3, 3)[:, 1] = 0
        model.weight.view(2, 2, 3, 3)[1, 0] = model.weight.view(2, 2, 3, 3)[0, 0] + 1
        model.bias[:] = torch.tensor([0.5, 0.0])
    result = CarliniWagner(**QUICK)(model, images)
    assert result.success.all()
    # A gap of 0.5 that rises by 1 per unit of each of nine pixels.
    assert L2().size(result.images - images).max() < 1.05 * 0.5 / 3


def test_distances_are_measured_from_the_image_itself(network, correct):
    """The tighter the guard, the nearer the start to the image; the found distance hardly changes."""
    images, labels = correct[0][:20], correct[1][:20]
    wide, tight = (CarliniWagner(**QUICK, guard=guard)(network, images, labels) for guard in (1 / 64, 1 / 512))
    ratio = L2().size(wide.images - images).mean() / L2().size(tight.images - images).mean()
    assert 0.9 < ratio < 1.1


def test_more_searches_only_help(network, correct):
    images, labels = correct[0][:10], correct[1][:10]
    attacks = [CarliniWagner(**QUICK | {"searches": n}) for n in (1, 3, 5)]
    sizes = [L2().size(attack(network, images, labels).images - images) for attack in attacks]
    assert (sizes[1] <= sizes[0]).all()
    assert (sizes[2] <= sizes[1]).all()
    assert sizes[2].mean() < sizes[0].mean()


def test_settled_images_leave(network, correct):
    """A far longer allowance of steps is hardly used."""
    result = CarliniWagner(**QUICK | {"steps": 2000, "searches": 1})(network, correct[0][:10], correct[1][:10])
    assert result.success.all()
    assert result.steps.float().mean() < 1000
    assert len(result.steps.unique()) > 1


def test_steps_inside_the_margin_cost_no_gradient(network, correct):
    result = CarliniWagner(**QUICK | {"searches": 1, "initial_c": 10.0})(network, correct[0][:10], correct[1][:10])
    assert result.backward_passes.sum() < 0.5 * result.forward_passes.sum()


def test_adam_beside_torch():
    variables = torch.randn(4, 3, dtype=torch.float64)
    reference = torch.nn.Parameter(variables.clone())
    optimizer, ours = torch.optim.Adam([reference], lr=0.02), Adam.at_rest(variables)
    for step in range(1, 20):
        gradient = torch.randn(4, 3, dtype=torch.float64)
        reference.grad = gradient
        optimizer.step()
        variables = variables + ours.update(gradient, step, 0.02)
    torch.testing.assert_close(variables, reference.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"confidence": -1.0}, "CarliniWagner: confidence=-1.0 must be at least 0"),
        ({"learning_rate": 0.0}, "CarliniWagner: learning_rate=0.0 must be above 0"),
        ({"initial_c": -1.0}, "CarliniWagner: initial_c=-1.0 must be above 0"),
        ({"guard": 0.0}, "CarliniWagner: guard=0.0 must be above 0"),
        ({"searches": 0}, "CarliniWagner: searches=0 must be at least 1"),
    ],
)
def test_refused_in_words(settings, message):
    with pytest.raises(ValueError, match=message):
        CarliniWagner(**settings)
