"""Noises against the moments of their distributions; truncation takes half a grey level from every mean."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from corruptions import (
    SEVERITIES,
    CifarSeverities,
    GaussianNoise,
    ImageNetSeverities,
    ImpulseNoise,
    ShotNoise,
    SpeckleNoise,
)
from corruptions.noise import poisson, poisson_table

COUNT = 200
PIXELS = COUNT * 3 * 32 * 32


def grey(level):
    return torch.full((COUNT, 3, 32, 32), level, dtype=torch.uint8)


def noisy(kind, severity, level):
    return kind(severity).apply(grey(level), torch.arange(COUNT)).double()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise(severity):
    sigma = CifarSeverities.gaussian_noise[severity - 1] * 255
    values = noisy(GaussianNoise, severity, 128)
    assert values.mean() + 0.5 == pytest.approx(128, abs=5 * sigma / math.sqrt(PIXELS))
    assert values.var() == pytest.approx(sigma**2 + 1 / 12, rel=0.01)
    share = (values < 128 - 2 * sigma).double().mean()
    assert share == pytest.approx(stats.norm.cdf((math.ceil(128 - 2 * sigma) - 128) / sigma), rel=0.05)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_speckle_noise_is_in_proportion(severity):
    relative = CifarSeverities.speckle_noise[severity - 1]
    for level in (60, 120):
        values = noisy(SpeckleNoise, severity, level)
        assert values.var() == pytest.approx((relative * level) ** 2 + 1 / 12, rel=0.01)
    assert noisy(SpeckleNoise, severity, 0).max() == 0


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise(severity):
    share = CifarSeverities.impulse_noise[severity - 1]
    values = noisy(ImpulseNoise, severity, 100)
    for extreme in (0, 255):
        expected = PIXELS * share / 2
        assert (values == extreme).sum().item() == pytest.approx(expected, abs=5 * math.sqrt(expected))
    assert set(values.unique().tolist()) == {0, 100, 255}
    both = ((values[:, 0] != 100) & (values[:, 1] != 100)).sum().item()
    expected = PIXELS / 3 * share**2  # channels are hit apart
    assert both == pytest.approx(expected, abs=5 * math.sqrt(expected))


@pytest.mark.parametrize("severity", SEVERITIES)
def test_shot_noise(severity):
    photons = CifarSeverities.shot_noise[severity - 1]
    values = noisy(ShotNoise, severity, 100)
    expected = photons * 100 / 255
    counts = np.arange(photons + 1)
    probability = stats.poisson.pmf(counts, expected)
    truncated = np.floor(counts / photons * 255)
    mean = (probability * truncated).sum()
    variance = (probability * (truncated - mean) ** 2).sum()
    assert values.mean() == pytest.approx(mean, abs=5 * math.sqrt(variance / PIXELS))
    assert values.var() == pytest.approx(variance, rel=0.01)
    assert noisy(ShotNoise, severity, 0).max() == 0


@pytest.mark.parametrize("photons", sorted({*CifarSeverities.shot_noise, *ImageNetSeverities.shot_noise}))
def test_photons_are_scipys_quantiles(photons):
    chance = torch.rand(256, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(photons))
    chance[:, :2] = torch.tensor([1e-12, 1 - 1e-9], dtype=torch.float64)
    levels = torch.arange(256).unsqueeze(1).expand(256, 200)
    quantiles = stats.poisson.ppf(chance.numpy(), (levels / 255 * photons).double().numpy()).clip(0, photons)
    ours = poisson(levels, photons, chance)
    assert (ours.numpy() != quantiles).mean() < 1e-4  # a chance at the very edge of a step
    assert poisson_table(photons).shape[1] > photons
