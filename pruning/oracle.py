"""What the network would lose without a filter, tried out filter by filter."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruning.filter_sets import Filter
from pruning.forward_pass import ForwardPass, aligned, record
from pruning.masks import tensors_of
from pruning.ownership import Ownership
from pruning.ranking import Evidence, Importance, Ranking
from pruning.sites import Site, entries
from pruning.undisturbed import undisturbed


class GreedyOracle(Ranking):
    """The accuracy on held-out images that is lost without a filter; equal losses are ordered by the loss function.

    The "greedy oracle" of Prakash et al. 2019, arXiv 1811.07275: one evaluation for each filter. What a filter doesn't
    change is computed once for all of them, and each rank evaluates all filters on its own images. The importance is
    the drop of the accuracy in [-1, 1], to which the rise of the summed cross-entropy adds less than half an image.
    """

    needs_images = True

    def importance(self, network: nn.Module, sites: Sequence[Site], evidence: Evidence | None = None) -> Importance:
        evidence = evidence or Evidence()
        places = {owner: place for place, owner in enumerate(_filters(sites))}
        with undisturbed(network) as device, torch.no_grad():
            figures = torch.zeros(len(places), 2, dtype=torch.float64)  # images right and summed loss, without each
            whole = torch.zeros(3, dtype=torch.float64)  # images right, summed loss, images
            tails = None
            for images, labels, *_ in evidence.batches:
                images, labels = images.to(device), labels.to(device)
                tails = tails or _Tails(network, sites, images[:1])
                whole += torch.cat([_judge(network(images), labels, evidence), torch.tensor([float(len(images))])])
                for owner, outputs in tails.outputs(images):
                    figures[places[owner]] += _judge(outputs, labels, evidence)
        figures, whole = evidence.reduce(figures), evidence.reduce(whole)
        if not whole[2]:
            raise ValueError("GreedyOracle needs images: give its evidence batches of held-out images and labels")
        return self._compare(figures, whole, sites)

    def _compare(self, figures: Tensor, whole: Tensor, sites: Sequence[Site]) -> Importance:
        drop, rise = whole[0] - figures[:, 0], figures[:, 1] - whole[1]
        values = (drop + torch.atan(rise) / math.pi) / whole[2]
        return dict(zip((site.name for site in sites), values.split([site.filters for site in sites])))


class _Tails:
    """The network's outputs without one filter each, from the first step that the filter's removal touches."""

    def __init__(self, network: nn.Module, sites: Sequence[Site], image: Tensor) -> None:
        self.network = network
        self.ownership = Ownership(network, record(network, image))
        self.sites = sorted(sites, key=lambda site: self.ownership.convolutions[site.name].restart)
        self._held = self.ownership.values_of_convolutions()
        self._passes: dict[torch.Size, ForwardPass] = {}

    def outputs(self, images: Tensor) -> Iterator[tuple[Filter, Tensor]]:
        """For each filter, in the order in which they run: the outputs without it."""
        if images.shape not in self._passes:
            self._passes[images.shape] = record(self.network, images)
        forward_pass = self._passes[images.shape]
        if not aligned(self.ownership.forward_pass, forward_pass):
            yield from self._whole(images)
            return
        values, position = {0: images}, 0
        for site in self.sites:
            restart = self.ownership.convolutions[site.name].restart
            forward_pass.advance(values, position, restart)
            position = restart
            for owner in _filters([site]):
                yield owner, self._tail(forward_pass, dict(values), restart, owner)

    def _tail(self, forward_pass: ForwardPass, values: dict[int, Tensor], start: int, owner: Filter) -> Tensor:
        """Run the rest; wherever the filter's own maps pass, they are zero."""
        held = self._held.get(owner[0], set())
        self._clear(values, held & values.keys(), owner)
        for index in range(start, len(forward_pass.steps)):
            forward_pass.advance(values, index, index + 1)
            self._clear(values, held.intersection(forward_pass.steps[index].results) & values.keys(), owner)
        return values[forward_pass.outputs[0]]

    def _clear(self, values: dict[int, Tensor], held: set[int], owner: Filter) -> None:
        for value in held:
            zeros = self.ownership.sets.naming(self.ownership.numbers[value], owner)
            values[value] = values[value].masked_fill(zeros.to(values[value].device), 0)

    def _whole(self, images: Tensor) -> Iterator[tuple[Filter, Tensor]]:
        """The whole network for each filter."""
        for site in self.sites:
            for row in range(site.filters):
                yield (site.name, row), outputs_without(self.network, site, row, images)


def outputs_without(network: nn.Module, site: Site, row: int, images: Tensor) -> Tensor:
    """The outputs of the whole network without one filter; its parameters stay as they are."""
    tensors, removed = tensors_of(network), {}
    for name, indices in entries([site], {site.name: torch.arange(site.filters) == row}).items():
        removed[name] = tensors[name].detach().index_fill(0, indices.to(tensors[name].device), 0)
    outputs: Tensor = functional_call(network, removed, (images,))
    return outputs


def _filters(sites: Sequence[Site]) -> list[Filter]:
    return [(site.name, row) for site in sites for row in range(site.filters)]


def _judge(outputs: Tensor, labels: Tensor, evidence: Evidence) -> Tensor:
    """Images right and summed loss, float64 on the CPU."""
    right = (evidence.readout(outputs).argmax(1) == labels).sum()
    loss = evidence.criterion(outputs, labels).to("cpu", torch.float64) * len(labels)
    return torch.stack([right.cpu(), loss])
