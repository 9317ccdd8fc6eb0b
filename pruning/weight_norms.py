"""Rankings by the size of a filter's weights."""

from collections.abc import Sequence

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
