"""Noise: of sensors, of light, of broken pixels."""

from functools import lru_cache

import torch
from scipy.special import pdtr
from torch import Tensor

from corruptions.division import divided
from corruptions.draws import Draws
from corruptions.synthetic import SyntheticCorruption


class GaussianNoise(SyntheticCorruption[float]):
    """Add normal noise, as a sensor does in low light; the level is its standard deviation in [0, 1] pixels."""

    name = "gaussian_noise"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        return (divided(levels.double(), 255) + self.level * draws.normal(*levels.shape[1:])) * 255


class SpeckleNoise(SyntheticCorruption[float]):
    """Add normal noise in proportion to the pixel; the level is its relative standard deviation (an extra)."""

    name = "speckle_noise"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        pixels = divided(levels.double(), 255)
        return (pixels + pixels * (self.level * draws.normal(*levels.shape[1:]))) * 255


class ShotNoise(SyntheticCorruption[int]):
    """Count photons (Poisson), as light arrives in quanta; the level is how many a white pixel gets."""

    name = "shot_noise"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        return poisson(levels, self.level, draws.uniform(*levels.shape[1:])) / self.level * 255


class ImpulseNoise(SyntheticCorruption[float]):
    """Turn channels of pixels black or white, as bit errors do; the level is the share that is hit."""

    name = "impulse_noise"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        chance = draws.uniform(*levels.shape[1:])
        return torch.where(chance < self.level, (chance < self.level / 2) * 255, levels)


def poisson(levels: Tensor, photons: int, chance: Tensor) -> Tensor:
    """Photons counted where ``photons * levels / 255`` are expected, at most ``photons``: where the count clips.

    Inverts the distribution function of each of the 256 grey levels by bisection, so equal chances (in (0, 1), shaped
    like the levels) give equal counts on every device.
    """
    table = poisson_table(photons).to(levels.device)
    first, step = levels.long() * table.shape[1], table.shape[1] // 2
    count = torch.zeros_like(first)
    while step:
        count += step * (table.take(first + count + (step - 1)) < chance)
        step //= 2
    return count.double()


@lru_cache(maxsize=10)
def poisson_table(photons: int) -> Tensor:
    """P(count <= k) of each grey level for k from 0 to photons - 1, then 1 up to a power of two: (256, K)."""
    table = torch.ones(256, 1 << photons.bit_length(), dtype=torch.float64)
    expected = torch.arange(256, dtype=torch.float64).unsqueeze(1) / 255 * photons
    table[:, :photons] = torch.from_numpy(pdtr(torch.arange(photons).numpy(), expected.numpy()))
    return table
