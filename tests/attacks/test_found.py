"""The best point of each image, where several are offered at once."""

import pytest
import torch

from attacks.attack import Found


def offered(owners, values, images=3):
    """Points that are their own place, offered to images of zeros."""
    found = Found(torch.zeros(images, 2))
    points = torch.arange(1, len(owners) + 1).unsqueeze(1).expand(-1, 2)
    reached = torch.arange(len(owners)) % 2 == 0
    found.offer(torch.tensor(owners), points, torch.tensor(values, dtype=torch.float32), reached)
    return found


@pytest.mark.parametrize(
    ("owners", "values", "kept"),
    [
        ([0, 0, 0], [1.0, 2.0, 2.0], [3, 0, 0]),
        ([0, 1, 0, 1], [5.0, 1.0, 5.0, 1.0], [3, 4, 0]),
        ([2, 0, 2, 2, 0], [-3.0, -1.0, -2.0, -2.0, -1.0], [5, 0, 4]),
        ([1, 1], [-torch.inf, -torch.inf], [0, 0, 0]),
    ],
)
def test_of_equal_points_the_last_is_kept(owners, values, kept):
    found = offered(owners, values)
    assert found.images[:, 0].tolist() == kept
    assert found.images[:, 1].tolist() == kept
    assert found.reached.tolist() == [place % 2 == 1 for place in kept]


def test_an_equal_point_does_not_replace_an_earlier_one():
    found = offered([0, 1], [1.0, 1.0])
    found.offer(torch.tensor([0, 1]), torch.full((2, 2), 9.0), torch.tensor([1.0, 1.5]), torch.tensor([True, True]))
    assert found.images[:, 0].tolist() == [1, 9, 0]


def test_a_trainer_in_half_precision_makes_no_more_points_equal():
    """It sets the default type around every batch."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = offered([0, 0], [1.0, 1.0 + 2**-20])
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.images[0, 0] == 2
