"""Where a network's filters are, as plain data."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Norm:
    """Where a normalisation layer treats the maps of some filters, as names of its tensors.

    Attributes:
        weight: γ, None without.
        bias: β, None without.
        mean: running mean, None without.
        variance: running variance, None without.
        filters: numbers of the filters whose maps pass here.
        channels: their channels in this layer, in the same order.
        own: whether it follows the convolution directly and treats no maps but the convolution's.
    """

    weight: str | None
    bias: str | None
    mean: str | None
    variance: str | None
    filters: tuple[int, ...]
    channels: tuple[int, ...]
    own: bool

    def channels_of(self, picked: Tensor) -> list[int]:
        """The channels of some filters, which are given as bool (J,)."""
        among = picked.tolist()
        return [channel for row, channel in zip(self.filters, self.channels) if among[row]]


@dataclass(frozen=True)
class Columns:
    """Input columns of a later layer's weight that read nothing but the maps of some filters.

    Attributes:
        weight: name of the weight, (outputs, inputs, ...).
        filters: numbers of the filters, one for each column.
        columns: second index into the weight.
    """

    weight: str
    filters: tuple[int, ...]
    columns: tuple[int, ...]

    def columns_of(self, picked: Tensor) -> list[int]:
        """The columns of some filters, which are given as bool (J,)."""
        among = picked.tolist()
        return [column for row, column in zip(self.filters, self.columns) if among[row]]


@dataclass(frozen=True)
class Site:
    """The filters of one convolution; plain data, so it can stand in a checkpoint.

    Attributes:
        name: of the convolution.
        weight: name of its weight, (J, channels, height, width): a filter is a row.
        bias: name of its bias, None without.
        filters: J, how many there are.
        norms: normalisation layers that treat the maps of a filter before they are mixed or added to others.
        biases: of depthwise convolutions on the same maps, as (name, filter, channel).
        columns: of the layers that read the maps.
    """

    name: str
    weight: str
    bias: str | None
    filters: int
    norms: tuple[Norm, ...] = ()
    biases: tuple[tuple[str, int, int], ...] = ()
    columns: tuple[Columns, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """As dicts, tuples, strings and numbers."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Site":
        """Back from ``as_data``."""
        norms, columns = (Norm(**norm) for norm in data["norms"]), (Columns(**column) for column in data["columns"])
        return cls(**{**data, "norms": tuple(norms), "columns": tuple(columns)})


Chosen = Mapping[str, Tensor]  # by a convolution's name: which of its filters, bool (J,)
Entries = dict[str, Tensor]  # by a tensor's name: first indices into it, int64, sorted


def entries(sites: Iterable[Site], chosen: Chosen) -> Entries:
    """What has to be zero for the chosen filters to be gone: rows of W, and entries of biases, γ and β.

    A BatchNorm without γ and β needs a running mean of zero instead, which then stays zero by itself.
    """
    found: dict[str, set[int]] = defaultdict(set)
    for site in sites:
        if site.name in chosen:
            for name, indices in _of_site(site, chosen[site.name]):
                found[name or ""].update(indices)
    return {name: torch.tensor(sorted(indices)) for name, indices in found.items() if name and indices}


def _of_site(site: Site, picked: Tensor) -> Iterator[tuple[str | None, list[int]]]:
    """Tensors by name, None for those that aren't there, with indices of some filters."""
    rows = picked.nonzero().flatten().tolist()
    yield from ((site.weight, rows), (site.bias, rows))
    for norm in site.norms:
        names = (norm.weight, norm.bias) if norm.weight else (norm.mean,)
        yield from ((name, norm.channels_of(picked)) for name in names)
    yield from ((name, [channel] if picked[row] else []) for name, row, channel in site.biases)
