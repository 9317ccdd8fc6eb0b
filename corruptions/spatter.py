"""Drops of water or mud on the lens."""

import torch
from torch import Tensor

from corruptions.borders import clamped, mirrored
from corruptions.division import divided
from corruptions.draws import Draws
from corruptions.edges import distance, edges
from corruptions.filters import correlate, from_planes, gaussian_filter
from corruptions.severities import Drops
from corruptions.synthetic import SyntheticCorruption

TURQUOISE, BROWN = (175, 238, 238), (63, 42, 20)
REACH = 20  # pixels around an edge over which a drop's thickness grows
EMBOSS = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))  # light from the lower right


class Spatter(SyntheticCorruption[Drops]):
    """Drops of water (severities 1 to 3) or mud on the lens (an extra).

    Where no drop falls, the image stays as it is; the benchmark's script would divide by zero.
    """

    name = "spatter"
    colour = True

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        noise = draws.normal(*levels.shape[2:]).permute(1, 2, 0).contiguous()
        liquid = gaussian_filter(self.level.mean + self.level.deviation * noise, self.level.sigma, clamped)
        liquid = torch.where(liquid < self.level.threshold, 0, liquid)
        pixels = divided(levels.float(), 255)
        if self.level.mud:
            cover = from_planes(mud(liquid > self.level.threshold, self.level.strength), 1)
            return (pixels * (1 - cover) + cover * _coloured(BROWN, pixels)) * 255
        # The benchmark's bytes overflow where the noise exceeds 1, and begin again at 0.
        cover = from_planes(water((liquid * 255).floor().remainder(256), self.level.strength), 1)
        return (pixels + cover * _coloured(TURQUOISE, pixels)) * 255


def mud(wet: Tensor, sigma: float) -> Tensor:
    """How much mud covers each pixel (H, W, N), float32: soft drops whose thin rims are cut off."""
    cover = gaussian_filter(wet.double(), sigma, clamped).float()
    return torch.where(cover < 0.8, 0, cover)


def water(liquid: Tensor, strength: float) -> Tensor:
    """How much light each pixel (H, W, N) gets from the water, float32: thickness times relief, scaled to a maximum.

    Args:
        liquid: grey levels of the layer of water, whole numbers; 0 where it is dry.
        strength: the maximum.
    """
    thickness = distance(edges(liquid.long(), 50, 150), REACH)
    relief = equalised(_averaged(thickness).float().floor().long())
    relief = correlate(relief, torch.tensor(EMBOSS), mirrored).clamp(0, 255)
    cover = liquid.float() * _averaged(relief).round().float()
    highest = cover.amax((0, 1))
    return cover / torch.where(highest > 0, highest, 1) * strength


def equalised(levels: Tensor) -> Tensor:
    """Spread the grey levels 0 … REACH of each picture (H, W, N) over 0 … 255; a flat picture stays as it is."""
    places = torch.arange(REACH + 1, device=levels.device).view(-1, 1, 1, 1)
    below = (levels <= places).sum((1, 2))
    pixels, darkest = levels.shape[0] * levels.shape[1], levels.amin((0, 1))
    first = below.gather(0, darkest.unsqueeze(0))
    spread = ((below - first) * (255 / (pixels - first).clamp(min=1).float())).round().long()
    table = torch.where(first == pixels, places.view(-1, 1), spread)
    return table.gather(0, levels.flatten(0, 1)).view(levels.shape)


def _averaged(planes: Tensor) -> Tensor:
    """The mean of each 3x3 neighbourhood, float64."""
    return correlate(planes.double(), torch.ones(3, 3), mirrored) * (1 / 9)


def _coloured(colour: tuple[int, int, int], like: Tensor) -> Tensor:
    return (divided(like.new_tensor(colour), 255)).view(1, 3, 1, 1)
