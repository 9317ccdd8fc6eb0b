"""Interpolations between perturbations, and their fooling rates."""

import pytest
import torch

from attacks import ClipBox
from attacks.interpolation import LAMS, interpolate, scan
from attacks.panel import fooling_rates


def test_ends_and_ball():
    first, second = 0.1 * torch.rand(2, 1, 8, 8).mul(2).sub(1)
    assert torch.equal(interpolate(first, second, 0), second)
    assert torch.equal(interpolate(first, second, 1), first)
    assert all(interpolate(first, second, lam / 10).abs().max() <= 0.1 for lam in range(11))


def test_a_scan_holds_the_rates_of_its_points(trained, digits):
    images = digits[1][0][:40]
    first, second = 0.5 * torch.rand(2, 1, 8, 8).mul(2).sub(1)
    rates = scan([trained], images, first, second)
    assert rates.shape == (21, 1)
    with torch.no_grad():
        middle = (trained(images + (first + second) / 2).argmax(1) != trained(images).argmax(1)).double().mean()
    assert rates[10, 0] == pytest.approx(float(middle), abs=1 / 40)
    clipped = (images + first).clamp(0, 1)
    with torch.no_grad():
        expected = (trained(clipped).argmax(1) != trained(images).argmax(1)).double().mean()
    assert fooling_rates([trained], images, first, ClipBox())[0] == expected


def test_a_scan_sees_the_clean_images_once_and_changes_no_rate(trained, digits, counting):
    images, watched = digits[1][0][:70], counting(trained)  # of two batches
    first, second = 0.5 * torch.rand(2, 1, 8, 8).mul(2).sub(1)
    rates = scan([watched], images, first, second, box=ClipBox())
    assert watched.forwards == 70 * (1 + 21)
    for lam, rate in zip(LAMS, rates, strict=True):
        assert torch.equal(fooling_rates([trained], images, interpolate(first, second, lam), ClipBox()), rate)


def test_refusals(trained):
    with pytest.raises(ValueError, match="resize"):
        interpolate(torch.zeros(1, 8, 8), torch.zeros(1, 9, 9), 0.5)
    with pytest.raises(ValueError, match=r"lam=1\.5"):
        interpolate(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8), 1.5)
    with pytest.raises(ValueError, match=r"\(1, 9, 9\)"):
        fooling_rates([trained], torch.rand(2, 1, 8, 8), torch.zeros(1, 9, 9))
    with pytest.raises(ValueError, match=r"\(1, 9, 9\)"):
        scan([trained], torch.rand(2, 1, 8, 8), *torch.zeros(2, 1, 9, 9))
