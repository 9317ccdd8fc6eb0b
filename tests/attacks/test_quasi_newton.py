"""The batched minimiser beside scipy's L-BFGS-B."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from attacks.quasi_newton import MEMORY, QuasiNewton
from attacks.rows import narrow, places


def minimised(function, start, steps=200):
    """Ends (n, d) and numbers of trials (n,) of minimising a function of (n, d) and rows."""
    ends, trials = start.clone(), torch.zeros(len(start))
    search, rows = QuasiNewton.at(start, curvature=2), torch.arange(len(start))
    for step in range(steps):
        trial = search.trial().requires_grad_()
        value = function(trial, rows)
        (slope,) = torch.autograd.grad(value.sum(), trial)
        trial, value = trial.detach(), value.detach()
        trials[rows] += 1
        taken, going = search.judge(trial, value)
        ends[rows] = torch.where(taken[:, None], trial, ends[rows])
        if not going.any():
            break
        rows, search, trial, value, slope, taken = narrow(places(going), rows, search, trial, value, slope, taken)
        search.advance(step, trial, value, slope, taken)
    return ends, trials


@pytest.fixture
def quadratics():
    """Twenty convex functions of twelve numbers, whose minima lie partly outside of [0, 1]."""
    factors = torch.randn(20, 12, 12, dtype=torch.float64)
    hessians = factors @ factors.transpose(1, 2) + 0.5 * torch.eye(12, dtype=torch.float64)
    centres = 0.5 + torch.randn(20, 12, dtype=torch.float64)

    def function(points, rows):
        offset = points - centres[rows]
        return torch.einsum("ni,nij,nj->n", offset, hessians[rows], offset) + 1

    return function


def scipy_minimum(function, row):
    def of_numpy(values):
        points = torch.tensor(values)[None].requires_grad_()
        value = function(points, torch.tensor([row]))
        (slope,) = torch.autograd.grad(value.sum(), points)
        return float(value.detach()), slope[0].numpy()

    start = np.full(12, 0.5)
    return minimize(of_numpy, start, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * 12, options={"ftol": 1e-12})


def test_minima_within_the_range(quadratics):
    ends, trials = minimised(quadratics, torch.full((20, 12), 0.5, dtype=torch.float64))
    assert ends.min() >= 0
    assert ends.max() <= 1
    assert ((ends == 0) | (ends == 1)).any(1).all()  # the range matters
    values = quadratics(ends, torch.arange(20))
    expected = [scipy_minimum(quadratics, row) for row in range(20)]
    reference = torch.tensor([result.fun for result in expected], dtype=torch.float64)
    assert (values >= reference - 1e-9).all()
    assert (values / reference).median() < 1.02
    assert (values / reference).max() < 1.1
    assert trials.mean() < 2 * np.mean([result.nfev for result in expected])


def test_each_is_a_problem_of_its_own(quadratics):
    start = torch.full((20, 12), 0.5, dtype=torch.float64)
    together, trials = minimised(quadratics, start)
    for row in range(20):
        alone, alone_trials = minimised(lambda points, rows, row=row: quadratics(points, rows + row), start[:1])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-10)
        assert alone_trials[0] == trials[row]


def test_a_direction_is_minus_the_inverse_hessian_times_the_slope():
    """With as many steps along the axes as dimensions, the recursion knows a diagonal Hessian exactly."""
    diagonal = torch.tensor([1.0, 4.0, 9.0, 0.5], dtype=torch.float64)
    search = QuasiNewton.at(torch.full((1, 4), 0.5, dtype=torch.float64), curvature=2)
    for step in range(4):
        move = torch.zeros(1, 4, dtype=torch.float64)
        move[0, step] = 0.1
        search._learn(step, move, diagonal * move)
    search.slope = torch.randn(1, 4, dtype=torch.float64)
    torch.testing.assert_close(search._direction(3), -search.slope / diagonal)


def test_memories_do_not_share_storage():
    search = QuasiNewton.at(torch.rand(2, 3), curvature=2)
    search._learn(MEMORY - 1, torch.ones(2, 3), torch.full((2, 3), 2.0))
    assert search.moves[:, -1].unique().tolist() == [1]
    assert search.changes[:, -1].unique().tolist() == [2]
    torch.testing.assert_close(search.weights[:, -1], torch.full((2,), 1 / 6))
    assert not search.weights[:, :-1].any()
    torch.testing.assert_close(search.scale, torch.full((2,), 0.5))
