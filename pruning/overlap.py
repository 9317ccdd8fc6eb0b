"""How much of what one filter sees another one sees, too."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.ranking import Evidence
from pruning.sites import Site
from pruning.streaming import Observation, watch

RIDGE = 1e-6  # of the mean variance, so that features that depend on each other can be whitened


def canonical_correlations(x: Tensor, y: Tensor, ridge: float = RIDGE) -> Tensor:
    """Correlations between two sets of features, from the highest on: (min(p, q),), in [0, 1].

    Hotelling 1936, "Relations Between Two Sets of Variates": the singular values of the whitened cross-covariance.

    Args:
        x: n observations of p features, (n, p).
        y: of q features, (n, q).
        ridge: added to the variances, as a share of their mean.
    """
    features = torch.cat([x, y], dim=1).double()
    covariance = features.T.cov(correction=0)
    width = x.shape[1]
    left, right = _whitening(covariance[:width, :width], ridge), _whitening(covariance[width:, width:], ridge)
    correlations: Tensor = torch.linalg.svdvals(left @ covariance[:width, width:] @ right.T)
    return correlations


def chance_correlation(images: int, features: int = 16) -> float:
    """The first canonical correlation that unrelated maps reach by chance, in [0, 1]; it falls with their number.

    The upper edge of the distribution for two sets of p Gaussian features over n images, 2 √(a (1 - a)) for a = p / n:
    Wachter 1980, "The Limiting Empirical Measure of Multiple Discriminant Ratios", doi 10.1214/aos/1176345134.

    Args:
        images: n.
        features: p, of each filter.
    """
    share = min(features / images, 0.5)
    return 2 * math.sqrt(share * (1 - share))


def filter_correlations(
    network: nn.Module,
    sites: Sequence[Site],
    evidence: Evidence,
    size: int = 4,
    max_filters: int = 32,
    ridge: float = RIDGE,
) -> dict[str, Tensor]:
    """The first canonical correlation between the maps of every two filters of a layer, over held-out images.

    Prakash et al. 2019, thesis, figure 5.2: random orthogonal filters stay below about 0.3, trained ones don't.

    Args:
        network: with these sites.
        sites: the layers to look at.
        evidence: its images; the moments of all ranks are added up.
        size: maps are average-pooled to this height and width, so a filter has size² features.
        max_filters: of a layer with more filters, so many are taken at equal distances.
        ridge: added to the variances, as a share of their mean.

    Returns:
        By convolution, (J, J) in [0, 1], symmetric; 0 for filters without variance.
    """
    rows = [torch.linspace(0, site.filters - 1, min(site.filters, max_filters)).round().long() for site in sites]
    widths = [1 + len(row) * size**2 for row in rows]
    moments = [torch.zeros(width, width, dtype=torch.float64) for width in widths]

    def look(observation: Observation) -> None:
        parts = zip(moments, observation.maps, rows)
        moments[:] = [moment + _moments(maps[:, row.to(maps.device)], size) for moment, maps, row in parts]

    watch(network, sites, look, evidence)
    totals = [evidence.reduce(moment) for moment in moments]
    if not all(total[0, 0] for total in totals):
        raise ValueError("correlations need images: give the evidence batches of held-out images and labels")
    parts = zip(sites, totals, rows)
    return {site.name: _first_correlations(total, len(row), ridge) for site, total, row in parts}


def _moments(maps: Tensor, size: int) -> Tensor:
    """Products of all features with each other and with 1, summed over images, (1 + J p, 1 + J p) in float64."""
    pooled = F.adaptive_avg_pool2d(maps, size)
    features = F.pad(pooled.flatten(1).to("cpu", torch.float64), (1, 0), value=1.0)
    return features.T @ features


def _first_correlations(moments: Tensor, filters: int, ridge: float) -> Tensor:
    count, sums = moments[0, 0], moments[0, 1:]
    covariance = moments[1:, 1:] / count - torch.outer(sums, sums) / count**2
    blocks = covariance.unflatten(1, (filters, -1)).unflatten(0, (filters, -1))  # (J, p, J, p)
    whitening = torch.stack([_whitening(blocks[f, :, f], ridge) for f in range(filters)])  # (J, p, p)
    crossed = torch.einsum("iab,ibjc,jdc->ijad", whitening, blocks, whitening)
    highest: Tensor = torch.linalg.svdvals(crossed)[..., 0]
    return highest


def _whitening(covariance: Tensor, ridge: float) -> Tensor:
    """W with W C Wᵀ = I; zero where nothing varies."""
    scale = covariance.diagonal().mean()
    if scale <= 0:
        return torch.zeros_like(covariance)
    eye = torch.eye(len(covariance), dtype=covariance.dtype)
    factor = torch.linalg.cholesky(covariance + ridge * scale * eye)
    whitening: Tensor = torch.linalg.solve_triangular(factor, eye, upper=False)
    return whitening
