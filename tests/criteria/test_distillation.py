"""The distance to a teacher, against sums written out and a gradient in closed form."""

import pytest
import torch

from criteria import distillation_loss


def scores(seed):
    return torch.randn(5, 7, generator=torch.Generator().manual_seed(seed)) * 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_it_is_the_divergence_of_softened_probabilities(temperature):
    student, teacher = scores(0).double(), scores(1).double()
    p, q = ((each / temperature).exp() for each in (teacher, student))
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    expected = sum((p[i, k] * (p[i, k] / q[i, k]).log()).item() for i in range(5) for k in range(7)) / 5
    loss = distillation_loss(scores(0), scores(1), temperature)
    assert loss.item() == pytest.approx(temperature**2 * expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_its_gradient_is_the_difference_of_the_probabilities(temperature):
    student = scores(0).requires_grad_()
    (gradient,) = torch.autograd.grad(distillation_loss(student, scores(1), temperature), student)
    difference = (student.detach() / temperature).softmax(1) - (scores(1) / temperature).softmax(1)
    torch.testing.assert_close(gradient, temperature * difference / 5, rtol=1e-5, atol=1e-7)


def test_who_agrees_with_the_teacher_has_nothing_to_learn():
    assert distillation_loss(scores(0), scores(0) + 5.0, 4.0).item() == pytest.approx(0, abs=1e-5)


def test_in_full_precision_also_under_autocast():
    student, teacher = scores(0).bfloat16(), scores(1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = distillation_loss(student, teacher, 4.0)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, distillation_loss(student.float(), teacher.float(), 4.0))
