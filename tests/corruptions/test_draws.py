import pytest
import torch

from corruptions.draws import Draws


def test_uniform_numbers_are_uniform():
    numbers = Draws.keyed(0, "snow", 2, torch.arange(200)).uniform(1000, stream=3)
    assert 0 < numbers.min() < 1e-4
    assert 1 - 1e-4 < numbers.max() < 1
    counts = torch.histc(numbers, 50, 0, 1)
    chi_square = ((counts - 4000) ** 2 / 4000).sum()
    assert 20 < chi_square < 90  # 49 degrees of freedom: 99.9 % of all cases lie within
    rows = numbers - 0.5
    lag = (rows[:, 1:] * rows[:, :-1]).mean() * 12
    across = (rows[1:] * rows[:-1]).mean() * 12
    assert max(abs(lag), abs(across)) < 0.01  # 4.5 standard deviations


def test_normal_numbers_are_normal():
    numbers = Draws.keyed(1, "fog", 1, torch.arange(200)).normal(10, 100)
    assert numbers.shape == (200, 10, 100)
    assert numbers.isfinite().all()
    assert abs(numbers.mean()) < 0.01
    assert abs(numbers.var() - 1) < 0.015
    assert abs((numbers**4).mean() - 3) < 0.1


def test_integers_and_intervals():
    draws = Draws.keyed(0, "frost", 1, torch.arange(1000))
    integers = draws.integers(-2, 2, 3)
    assert integers.unique().tolist() == [-2, -1, 0, 1]
    assert abs(integers.double().mean() + 0.5) < 0.1
    angles = draws.between(-135, -45)
    assert angles.shape == (1000,)
    assert -135 < angles.min() < -134
    assert -46 < angles.max() < -45


KEY = (0, "snow", 2, 5)


@pytest.mark.parametrize(
    "other", [(1, *KEY[1:]), (-1, *KEY[1:]), (0, "fog", 2, 5), (0, "snow", 3, 5), (0, "snow", 2, 6)]
)
def test_every_part_of_the_key_counts(other):
    first, second = (Draws.keyed(*key, torch.tensor([index])) for *key, index in (KEY, other))
    assert first.keys != second.keys
    assert not torch.equal(first.uniform(50), second.uniform(50))


def test_streams_differ_and_keys_are_many():
    draws = Draws.keyed(0, "snow", 1, torch.arange(50_000))
    assert len(draws.keys.unique()) == 50_000
    few = Draws(draws.keys[:2])
    assert len(torch.cat([few.uniform(50, stream=stream) for stream in range(5)]).unique(dim=0)) == 10
