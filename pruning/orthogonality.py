"""Filters that repeat others matter least."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pruning.gram import gram
from pruning.ranking import Evidence, Importance, Ranking, rows
from pruning.sites import Site


class Orthogonality(Ranking):
    """How far a filter is from repeating the other filters of its layer.

    Prakash et al. 2019, "RePr: Improved Training of Convolutional Filters", arXiv 1811.07275, equations 5.1 and 5.2 of
    the thesis: P = |ŴŴᵀ - I| with the filters as rows of length one, O_f = Σ_j P_fj / J; the importance is -O_f, from
    -1 to 0. Filters of zeros are left out, and theirs is minus infinity.

    Args:
        normalize_width: divide by what random filters of that layer would have, √(2/(πD)) (J-1)/J for length D. Else
            layers with short filters, as a rule the first, are ranked lowest whatever their filters are.
    """

    def __init__(self, normalize_width: bool = False) -> None:
        self.normalize_width = normalize_width

    def importance(self, network: nn.Module, sites: Sequence[Site], evidence: Evidence | None = None) -> Importance:
        return {site.name: -self._overlap(rows(network, site)) for site in sites}

    def _overlap(self, filters: Tensor) -> Tensor:
        alive = filters.any(1)
        count, length = int(alive.sum()), filters.shape[1]
        overlap = overlaps(filters).sum(1) / max(count, 1)
        if self.normalize_width and count > 1:
            overlap = overlap / expected_overlap(count, length)
        return torch.where(alive, overlap, math.inf)


def overlaps(filters: Tensor) -> Tensor:
    """|cos| of every two filters (J, D), zero on the diagonal and for filters of zeros: (J, J), differentiable."""
    products = gram(filters)
    squares = products.diagonal()
    pairs = torch.outer(squares > 0, squares > 0).fill_diagonal_(False)
    norms = squares.where(squares > 0, 1.0).sqrt()
    overlap: Tensor = products.abs() / torch.outer(norms, norms) * pairs
    return overlap


def expected_overlap(filters: int, length: int) -> float:
    """The mean of O_f for random filters: E|cos| = √(2/(πD)) for the length D, times (J-1)/J."""
    return math.sqrt(2 / (math.pi * length)) * (filters - 1) / filters


def orthogonality_loss(network: nn.Module, sites: Sequence[Site]) -> Tensor:
    """Σ P of all convolutions, to be weighted and added to the training loss (section 5 of the thesis), a scalar.

    In full precision also under autocast. Removed filters have no part in it and no gradient from it.
    """
    weights = [network.get_parameter(site.weight) for site in sites]
    with torch.autocast(weights[0].device.type, enabled=False):
        return torch.stack([overlaps(weight.flatten(1).float()).sum() for weight in weights]).sum()


def orthogonality_sum(network: nn.Module, sites: Sequence[Site]) -> dict[str, float]:
    """Σ P of every convolution by name: 0 for orthogonal filters, up to J(J-1)."""
    return {site.name: float(overlaps(rows(network, site)).sum()) for site in sites}
