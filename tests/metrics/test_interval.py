"""Intervals of rates."""

import pytest

from metrics import wilson_interval


@pytest.mark.parametrize(
    ("rate", "count", "low", "high"),
    [(0.5, 100, 0.40383, 0.59617), (1.0, 10, 0.72247, 1.0), (0.0, 10, 0.0, 0.27753), (0.1, 20, 0.02787, 0.30103)],
)
def test_intervals(rate, count, low, high):
    assert wilson_interval(rate, count) == (pytest.approx(low, abs=2e-5), pytest.approx(high, abs=2e-5))
