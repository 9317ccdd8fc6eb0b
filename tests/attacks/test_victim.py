import pytest
import torch

from attacks.victim import Victim


@pytest.fixture
def victim(affine, counting):
    model = counting(affine(dtype=torch.float32))
    return Victim(model, torch.rand(6, 2, 3, 3))


def counts(victim):
    return (victim.forward_passes.tolist(), victim.backward_passes.tolist())


def totals(victim):
    return (victim.model.forwards, victim.model.backwards)


def test_few_finished_images_are_dragged_along(victim, affine):
    points = torch.rand(6, 2, 3, 3)
    trace = victim.trace(points, torch.arange(6)).keep(torch.tensor([0, 1, 3, 4, 5]))
    gradient = trace.gradient(trace.scores[:, 3])
    assert gradient.shape == (5, 2, 3, 3)
    torch.testing.assert_close(gradient[4].flatten(), affine(dtype=torch.float32).weight.detach()[3])
    assert counts(victim) == ([1] * 6, [1] * 6)
    assert totals(victim) == (6, 6)


def test_many_finished_images_leave(victim):
    points = torch.rand(6, 2, 3, 3)
    trace = victim.trace(points, torch.arange(6))
    first, scores = trace, trace.scores.detach()
    trace = trace.keep(torch.tensor([1, 5]))
    assert first.scores.grad_fn is None  # its memory is free
    torch.testing.assert_close(trace.scores, scores[[1, 5]])
    trace.gradient(trace.scores[:, 0])
    assert counts(victim) == ([1, 2, 1, 1, 1, 2], [0, 1, 0, 0, 0, 1])
    assert totals(victim) == (8, 2)


def test_kept_twice(victim):
    trace = victim.trace(torch.rand(6, 2, 3, 3), torch.arange(6))
    scores = trace.scores.detach()
    trace = trace.keep(torch.tensor([0, 1, 3, 4, 5])).keep(torch.tensor([0, 1, 3, 4]))
    torch.testing.assert_close(trace.scores, scores[[0, 1, 4, 5]])


def test_more_gradients_make_it_worth_running_again(victim):
    wanted = torch.tensor([0, 1, 3, 4, 5])
    trace = victim.trace(torch.rand(6, 2, 3, 3), torch.arange(6)).keep(wanted, backwards=6)
    for left in range(6)[::-1]:
        trace.gradient(trace.scores[:, 0], again=left > 0)
    assert counts(victim) == ([2, 2, 1, 2, 2, 2], [6, 6, 0, 6, 6, 6])
    assert totals(victim) == (11, 30)


def test_nobody_kept_is_no_pass(victim):
    trace = victim.trace(torch.rand(6, 2, 3, 3), torch.arange(6)).keep(torch.zeros(0, dtype=torch.long))
    assert trace.scores.shape == (0, 5)
    assert totals(victim) == (6, 0)


def test_gradients_are_finite():
    images = torch.tensor([[0.0, 0.0], [1.0, 4.0]])
    trace = Victim(torch.sqrt, images).trace(images, torch.arange(2))
    assert trace.gradient(trace.scores.sum(1)).tolist() == [[0, 0], [0.5, 0.25]]


@pytest.mark.parametrize("model", [torch.Tensor.detach, lambda x: torch.zeros(len(x), 2, requires_grad=True)])
def test_scores_without_gradient_are_refused(model):
    trace = Victim(model, torch.rand(3, 2)).trace(torch.rand(3, 2), torch.arange(3))
    with pytest.raises(ValueError, match="scores have no gradient with respect to the images"):
        trace.gradient(trace.scores[:, 0])


@pytest.mark.parametrize("shape", [(3,), (3, 1), (4, 2), (3, 2, 2)])
def test_scores_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"for 3 images: an attack needs \(3, num_classes\)"):
        Victim(lambda x: torch.zeros(shape), torch.rand(3, 2)).look(torch.rand(3, 2), torch.arange(3))
