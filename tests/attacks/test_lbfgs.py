"""The L-BFGS attack beside an independent minimiser and its rivals."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize

from attacks import LBFGS, CarliniWagner, DeepFool
from attacks.norms import L2


def distances(attack, network, images, labels, **settings):
    result = attack(network, images, labels, **settings)
    assert result.success.all()
    return L2().size(result.images - images)


def test_the_exact_distance_of_an_affine_model(affine):
    model = affine(classes=2)
    images = 0.3 + 0.4 * torch.rand(30, 2, 3, 3, dtype=torch.float64)
    scores = model(images).detach()
    exact = (scores[:, 0] - scores[:, 1]).abs() / (model.weight[0] - model.weight[1]).norm().detach()
    images, exact = images[exact > 0.05], exact[exact > 0.05]
    result = LBFGS(searches=12)(model, images)
    assert result.success.all()
    ratio = L2().size(result.images - images) / exact
    assert ratio.min() >= 1
    assert ratio.max() < 1.02


def test_beside_scipy(network, correct):
    """For a grid of c, scipy's L-BFGS-B on one image at a time finds no nearer point."""
    network, images = network.double(), correct[0][:3].double()
    targets = network(images).topk(2).indices[:, 1]
    ours = distances(LBFGS(searches=12), network, images, None, targets=targets)
    for image, target, distance in zip(images, targets, ours):
        rival = min(scipy_distance(network, image, target, c) for c in np.geomspace(0.02, 5, 12))
        assert distance < 1.1 * rival


def scipy_distance(network, image, target, c):
    best = [np.inf]

    def objective(values):
        point = torch.tensor(values).view_as(image)[None].requires_grad_()
        scores = network(point)
        squared = (point - image).square().sum()
        if scores.argmax() == target:
            best[0] = min(best[0], float(squared.detach().sqrt()))
        value = squared + c * F.cross_entropy(scores, target[None])
        (slope,) = torch.autograd.grad(value, point)
        return float(value.detach()), slope.flatten().numpy()

    start = image.flatten().numpy()
    minimize(objective, start, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * len(start), options={"maxiter": 60})
    return best[0]


def test_it_is_nearer_than_its_rivals(network, correct):
    images, labels = correct[0][:20], correct[1][:20]
    ours = distances(LBFGS(), network, images, labels).mean()
    assert ours < 0.97 * distances(DeepFool(), network, images, labels).mean()
    assert ours < 1.02 * distances(CarliniWagner(0, 100, 0.05, 4, 1.0), network, images, labels).mean()


def test_more_candidates_come_nearer(network, correct):
    images, labels = correct[0][:10], correct[1][:10]
    few, many = (distances(LBFGS(candidates=n, searches=6), network, images, labels) for n in (2, 5))
    assert (many <= few + 1e-6).all()
    assert (many < few - 1e-3).any()


def test_any_wrong_class_will_do_without_targets(network, correct):
    """An untargeted search counts a point even where another class than its aim has won."""
    images, labels = correct[0][:10], correct[1][:10]
    aims = network(images).detach().topk(2).indices[:, 1]
    free = distances(LBFGS(candidates=2, searches=6), network, images, labels)
    bound = distances(LBFGS(searches=6), network, images, None, targets=aims)
    assert (free <= bound + 1e-6).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "LBFGS: steps=0 must be at least 1"),
        ({"initial_c": 0.0}, "LBFGS: initial_c=0.0 must be above 0"),
        ({"candidates": 1}, "LBFGS: candidates=1 must be at least 2"),
    ],
)
def test_refused_in_words(settings, message):
    with pytest.raises(ValueError, match=message):
        LBFGS(**settings)
