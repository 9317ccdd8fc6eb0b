"""What a test finds out about a network's filters, without a trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from pruning import Evidence, GreedyOracle, Site, filter_correlations

Item = TypeVar("Item")


@dataclass(frozen=True)
class Findings:
    """About some layers of a network, by the name of the convolution.

    Attributes:
        images: how many were looked at, on all ranks together.
        filters: how many each layer has.
        correlations: between the maps of every two of a layer's filters (J, J), in [0, 1].
        drops: the accuracy that is lost without each filter (J,), in [-1, 1]; None where nobody asked.
    """

    images: int
    filters: dict[str, int]
    correlations: dict[str, Tensor]
    drops: dict[str, Tensor] | None


def find_out(network: nn.Module, sites: Sequence[Site], evidence: Evidence, drops: bool = True) -> Findings:
    """How much the filters of some layers repeat each other and, if wanted, what is lost without each.

    Args:
        network: with these sites.
        sites: the layers to look at.
        evidence: images, which are gone through more than once.
        drops: evaluate the network without each filter, too.
    """
    counted = torch.tensor(float(sum(len(batch[0]) for batch in evidence.batches)), dtype=torch.float64)
    images = int(evidence.reduce(counted))
    correlations = filter_correlations(network, sites, evidence)
    lost = None
    if drops:
        importance = GreedyOracle().importance(network, sites, evidence)
        # Among equal drops, the oracle's importance differs by less than half an image.
        lost = {name: (values * images).round() / images for name, values in importance.items()}
    return Findings(images, {site.name: site.filters for site in sites}, correlations, lost)


def spread(items: Sequence[Item], most: int | None) -> list[Item]:
    """At most so many, at equal distances from the first to the last."""
    if most is None or len(items) <= most:
        return list(items)
    return [items[int(place)] for place in torch.linspace(0, len(items) - 1, most).round()]
