import pytest
import torch

from attacks.draws import Draws
from attacks.norms import L2, Linf, norm_of

NORMS = pytest.mark.parametrize("norm", [Linf(), L2()], ids=repr)


def test_sizes_by_hand():
    delta = torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    assert Linf().size(delta).tolist() == [4, 0]
    assert L2().size(delta).tolist() == [5, 0]
    assert Linf().dual(delta).tolist() == [7, 0]
    assert L2().dual(delta).tolist() == [5, 0]


@NORMS
def test_the_steepest_step_has_norm_one_and_gains_the_dual_norm(norm):
    gradient = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    step = norm.steepest(gradient)
    torch.testing.assert_close(norm.size(step), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close((step * gradient).flatten(1).sum(1), norm.dual(gradient))


@NORMS
def test_no_gradient_no_step(norm):
    assert (norm.steepest(torch.zeros(2, 3, 4, 4)) == 0).all()


def test_tiny_gradients_keep_their_direction():
    gradient = torch.randn(4, 3, 4, 4)
    torch.testing.assert_close(L2().steepest(gradient * 1e-30), L2().steepest(gradient))


@NORMS
def test_projection_is_the_nearest_point_of_the_ball(norm):
    delta = 2 * torch.randn(20, 3, 4, 4, dtype=torch.float64)
    delta[0] = 0.001
    projected = norm.project(delta, 0.5)
    assert norm.size(projected).max() <= 0.5 + 1e-12
    assert torch.equal(projected[0], delta[0])
    # Nearest point of a convex set: no point of the set lies on the far side.
    others = norm.project(torch.randn(20, 3, 4, 4, dtype=torch.float64), 0.5)
    assert ((delta - projected) * (others - projected)).flatten(1).sum(1).max() <= 1e-12
    assert (norm.project(delta, 0.0) == 0).all()


@NORMS
def test_samples_fill_the_ball_uniformly(norm):
    like = torch.empty(4000, 1, 1, 3)
    samples = norm.sample(Draws(torch.arange(4000)), like, stream=0)
    radii = norm.size(samples).sort().values
    assert radii[-1] <= 1 + 1e-6
    uniform = (torch.arange(4000) + 0.5) / 4000
    assert (radii**3 - uniform).abs().max() < 0.03  # Kolmogorov-Smirnov: 0.031 at 0.1 %
    assert samples.flatten(1).mean(0).abs().max() < 0.04


def test_names():
    assert isinstance(norm_of("linf"), Linf)
    assert isinstance(norm_of(norm_of("l2")), L2)
    with pytest.raises(ValueError, match="norm='l1' is unknown: give one of linf, l2"):
        norm_of("l1")
