"""Rankings by the size of a filter's weights, and by chance."""

from collections.abc import Sequence

import torch
from torch import nn

from pruning.ranking import Evidence, Importance, Ranking, rows
from pruning.sites import Site


class WeightNorm(Ranking):
    """The L2 norm of a filter's weights."""

    def importance(self, network: nn.Module, sites: Sequence[Site], evidence: Evidence | None = None) -> Importance:
        return {site.name: rows(network, site).norm(dim=1) for site in sites}


class WeightSum(Ranking):
    """The L1 norm of a filter's weights: Li et al. 2017, "Pruning Filters for Efficient ConvNets", arXiv 1608.08710."""

    def importance(self, network: nn.Module, sites: Sequence[Site], evidence: Evidence | None = None) -> Importance:
        return {site.name: rows(network, site).abs().sum(1) for site in sites}


class WeightMean(Ranking):
    """The mean absolute weight of a filter, which doesn't grow with the filter's length."""

    def importance(self, network: nn.Module, sites: Sequence[Site], evidence: Evidence | None = None) -> Importance:
        return {site.name: rows(network, site).abs().mean(1) for site in sites}


class Random(Ranking):
    """Chance, the same on all ranks and after a resume.

    Args:
        seed: of the draw; each cycle has its own.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def importance(self, network: nn.Module, sites: Sequence[Site], evidence: Evidence | None = None) -> Importance:
        cycle = evidence.cycle if evidence else 0
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + cycle)
        return {site.name: torch.rand(site.filters, dtype=torch.float64, generator=generator) for site in sites}
