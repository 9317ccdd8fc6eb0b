"""Filters return, with new weights in directions that no other filter has."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor, nn

from pruning.directions import Tiers, new_directions
from pruning.masks import tensors_of
from pruning.ranking import rows
from pruning.sites import Chosen, Norm, Site, entries


class NextColumns(ABC):
    """What the layers that read a returned filter's map start with."""

    @abstractmethod
    def write(self, weight: Tensor, columns: Tensor, generator: Generator) -> None:
        """Write into columns of a weight (outputs, inputs, ...), which read nothing but returned maps."""


class KeepColumns(NextColumns):
    """As they are."""

    def write(self, weight: Tensor, columns: Tensor, generator: Generator) -> None:
        return


class ZeroColumns(NextColumns):
    """Zeros: the outputs don't change at the return."""

    def write(self, weight: Tensor, columns: Tensor, generator: Generator) -> None:
        weight[:, columns] = 0


class RandomColumns(NextColumns):
    """Normally distributed, with the standard deviation of the whole weight."""

    def write(self, weight: Tensor, columns: Tensor, generator: Generator) -> None:
        shape = (len(weight), len(columns), *weight.shape[2:])
        weight[:, columns] = weight.std() * torch.randn(shape, generator=generator).to(weight)


@torch.no_grad()
def bring_back(
    network: nn.Module,
    sites: Sequence[Site],
    chosen: Chosen,
    old: Mapping[str, Tensor],
    norms: Mapping[str, float],
    generator: Generator,
    columns: NextColumns | None = None,
) -> dict[str, Tiers]:
    """Give removed filters new weights, orthogonal to all other filters and to their own old values.

    Their own BatchNorm starts anew with γ = 1 and β = 0, and every running mean and variance of theirs with 0 and 1;
    γ and β of BatchNorms that treat other filters' maps, too, are the old ones. The convolution's bias is 0.

    Args:
        network: is changed in place.
        sites: of the network.
        chosen: the filters that were removed.
        old: what ``remove`` returned.
        norms: length of each layer's new filters by convolution, such as ``initial_norms`` gives.
        generator: of the CPU; the same state gives the same weights on one machine.
        columns: what the next layers start with; ``KeepColumns()`` by default.

    Returns:
        How much room the new filters found, by convolution.
    """
    tensors = tensors_of(network)
    for name, indices in entries(sites, chosen).items():
        tensors[name][indices.to(tensors[name].device)] = old[name].to(tensors[name])
    returning = [site for site in sites if site.name in chosen and chosen[site.name].any()]
    return {
        site.name: _renew(tensors, network, site, chosen[site.name], norms[site.name], generator, columns)
        for site in returning
    }


def initial_norms(network: nn.Module, sites: Sequence[Site]) -> dict[str, float]:
    """Root mean square length of each convolution's filters, to be taken before training.

    It estimates what the initialisation is made for: 1/√3 with PyTorch's default, √2 with He's normal one (fan_in).
    """
    return {site.name: float(rows(network, site).square().sum(1).mean().sqrt()) for site in sites}


def _renew(
    tensors: Mapping[str, Tensor],
    network: nn.Module,
    site: Site,
    picked: Tensor,
    norm: float,
    generator: Generator,
    columns: NextColumns | None,
) -> Tiers:
    weight = tensors[site.weight]
    directions, tiers = new_directions(rows(network, site), picked, generator)
    weight[picked.to(weight.device)] = (norm * directions).view(-1, *weight.shape[1:]).to(weight)
    if site.bias:
        tensors[site.bias][picked.to(weight.device)] = 0
    for layer in site.norms:
        _reset(tensors, layer, picked)
    for read in site.columns:
        (columns or KeepColumns()).write(tensors[read.weight], torch.tensor(read.columns_of(picked)), generator)
    return tiers


def _reset(tensors: Mapping[str, Tensor], norm: Norm, picked: Tensor) -> None:
    starts = [(norm.mean, 0.0), (norm.variance, 1.0)] + ([(norm.weight, 1.0), (norm.bias, 0.0)] if norm.own else [])
    for name, start in starts:
        if name:
            tensors[name][norm.channels_of(picked)] = start
