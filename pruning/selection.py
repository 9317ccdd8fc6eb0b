"""Which filters leave, given their importance."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import torch
from torch import Tensor

from pruning.ranking import Importance


class Scope(ABC):
    """Which filters compete with each other."""

    @abstractmethod
    def choose(self, importance: Importance, percent: float, most: Mapping[str, int]) -> dict[str, Tensor]:
        """The filters of lowest importance by convolution, bool (J,), no more than ``most`` of each."""


class WholeNetwork(Scope):
    """One list of all filters: exactly round(p F) leave; where a layer can spare no more, the next ones in the list."""

    def choose(self, importance: Importance, percent: float, most: Mapping[str, int]) -> dict[str, Tensor]:
        wanted = round(percent * sum(map(len, importance.values())) / 100)
        if wanted > sum(most[name] for name in importance):
            raise ValueError(
                f"percent={percent} asks for {wanted} filters, but max_per_layer lets only "
                f"{sum(most[name] for name in importance)} go: lower percent or raise max_per_layer"
            )
        layers = [(name, number) for name, values in importance.items() for number in range(len(values))]
        order = torch.cat(list(importance.values())).sort(stable=True).indices.tolist()  # ties: by layer, then filter
        return _take([layers[place] for place in order], wanted, importance, most)


class EachLayer(Scope):
    """A list for each layer: round(p J) of its J filters leave, as far as it can spare them."""

    def choose(self, importance: Importance, percent: float, most: Mapping[str, int]) -> dict[str, Tensor]:
        chosen: dict[str, Tensor] = {}
        for name, values in importance.items():
            order = [(name, number) for number in values.sort(stable=True).indices.tolist()]
            chosen |= _take(order, round(percent * len(values) / 100), {name: values}, most)
        return chosen


def select(
    importance: Importance,
    percent: float,
    max_per_layer: float = 0.9,
    exclude: Sequence[str] = ("first",),
    scope: Scope | None = None,
) -> dict[str, Tensor]:
    """The least important filters of each convolution, by name, bool (J,).

    Args:
        importance: of every filter, by convolution in the order in which they run. Ties go to the earlier filter.
        percent: p, how many percent of the ranked filters leave, in (0, 100).
        max_per_layer: the largest share of a layer's filters that leave, in (0, 1]; one filter stays in any case.
        exclude: convolutions that are not ranked, by name; "first" is the first one.
        scope: which filters compete; all of the network by default.
    """
    check_shares(percent, max_per_layer)
    _check(importance)
    excluded = _names(importance, exclude)
    ranked = {name: values for name, values in importance.items() if name not in excluded}
    if not ranked:
        raise ValueError(f"exclude={list(exclude)} leaves no convolution to rank: exclude fewer")
    most = {name: min(int(max_per_layer * len(values) + 1e-9), len(values) - 1) for name, values in ranked.items()}
    chosen = (scope or WholeNetwork()).choose(ranked, percent, most)
    return {name: chosen.get(name, torch.zeros(len(values), dtype=torch.bool)) for name, values in importance.items()}


def _take(
    order: Sequence[tuple[str, int]], wanted: int, importance: Importance, most: Mapping[str, int]
) -> dict[str, Tensor]:
    """The first so many filters of an order, passing over layers that have none to spare."""
    chosen = {name: torch.zeros(len(values), dtype=torch.bool) for name, values in importance.items()}
    spare = {name: most[name] for name in importance}
    for name, number in order:
        if wanted and spare[name]:
            chosen[name][number] = True
            spare[name] -= 1
            wanted -= 1
    return chosen


def _names(importance: Importance, exclude: Sequence[str]) -> set[str]:
    names = {next(iter(importance)) if name == "first" else name for name in exclude}
    for name in names - importance.keys():
        near = ", ".join(get_close_matches(name, importance, n=3, cutoff=0.0))
        raise ValueError(f"exclude names {name!r}, which is no ranked convolution: the nearest are {near}")
    return names


def check_shares(percent: float, max_per_layer: float = 1.0) -> None:
    """Refuse what would remove nothing or everything, and a share that is none."""
    if not 0 < percent < 100:
        raise ValueError(f"percent={percent} must lie between 0 and 100, both excluded")
    if not 0 < max_per_layer <= 1:
        raise ValueError(f"max_per_layer={max_per_layer} must lie in (0, 1]: it is a share of a layer's filters")


def _check(importance: Importance) -> None:
    for name, values in importance.items():
        if values.isnan().any():
            raise ValueError(f"the importance of filters of {name} is NaN: look at the weights and the loss for NaN")
