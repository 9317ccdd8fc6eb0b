"""Which filters matter, how they leave and how they return.

One cycle of RePr in a notebook, around training loops of any kind::

    sites, left_out = find_sites(network, images)
    norms = initial_norms(network, sites)
    ...  # train
    chosen = select(Orthogonality().importance(network, sites), percent=30)
    gone = entries(sites, chosen)
    old = remove(network, gone)
    keep = keep_all_but(network, gone)
    clear_optimizer_state(network, optimizer, keep)
    mask = Mask(network, keep)
    ...  # train, with mask.apply() after every step of the optimiser
    bring_back(network, sites, chosen, old, norms, torch.Generator().manual_seed(0))
    clear_optimizer_state(network, optimizer, keep)
    ...  # train
"""

from pruning.chance import Random, cycle_generator
from pruning.data_rankings import Activations, APoZ, Gradients, Hessian, Taylor
from pruning.directions import Tiers, new_directions
from pruning.finding import FoundSites, find_sites
from pruning.masks import Mask, clear_optimizer_state, keep_all_but, remove
from pruning.oracle import GreedyOracle
from pruning.orthogonality import Orthogonality, expected_overlap, orthogonality_loss, orthogonality_sum, overlaps
from pruning.overlap import canonical_correlations, chance_correlation, filter_correlations
from pruning.ranking import Evidence, Importance, Ranking, UnitLength
from pruning.recalibration import MeasuredStatistics, ResetStatistics, Statistics, recalibrate
from pruning.returning import (
    KeepColumns,
    NextColumns,
    RandomColumns,
    ZeroColumns,
    bring_back,
    initial_norms,
)
from pruning.selection import EachLayer, Scope, WholeNetwork, check_shares, select
from pruning.sites import Columns, Norm, Site, entries
from pruning.streaming import Streamed, stream
from pruning.weight_masks import smallest_weights
from pruning.weight_norms import WeightMean, WeightNorm, WeightSum

__all__ = [
    "APoZ",
    "Activations",
    "Columns",
    "EachLayer",
    "Evidence",
    "FoundSites",
    "Gradients",
    "GreedyOracle",
    "Hessian",
    "Importance",
    "KeepColumns",
    "Mask",
    "MeasuredStatistics",
    "NextColumns",
    "Norm",
    "Orthogonality",
    "Random",
    "RandomColumns",
    "Ranking",
    "ResetStatistics",
    "Scope",
    "Site",
    "Statistics",
    "Streamed",
    "Taylor",
    "Tiers",
    "UnitLength",
    "WeightMean",
    "WeightNorm",
    "WeightSum",
    "WholeNetwork",
    "ZeroColumns",
    "bring_back",
    "canonical_correlations",
    "chance_correlation",
    "check_shares",
    "clear_optimizer_state",
    "cycle_generator",
    "entries",
    "expected_overlap",
    "filter_correlations",
    "find_sites",
    "initial_norms",
    "keep_all_but",
    "new_directions",
    "orthogonality_loss",
    "orthogonality_sum",
    "overlaps",
    "recalibrate",
    "remove",
    "select",
    "smallest_weights",
    "stream",
]
