"""Whose maps are whose, at every place of a forward pass."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pruning.filter_sets import ALWAYS, Filter, FilterSets
from pruning.forward_pass import ForwardPass, Step, Value
from pruning.rules import ACTIVATIONS, rule_of
from pruning.sites import Columns, Norm, Site

Names = tuple[str | None, str | None, str | None, str | None]  # of γ, β, running mean, running variance
Pairs = list[tuple[int, int]]  # a filter's number, and its channel or column


@dataclass
class Convolution:
    """What is known of the filters of one convolution.

    Attributes:
        weight: name of its weight.
        bias: name of its bias.
        filters: J.
        maps: the value that holds the maps by which its filters are judged: behind the first activation function on
            their way, else behind the first normalisation, else its own output.
        channels: of the filters in that value.
        restart: the first step that mixes or drops its maps: up to there, removing a filter makes its elements zero
            and changes nothing else.
        steps: where the forward pass runs it.
        norms: filters and channels in each normalisation layer on their way.
        own_norm: the one that follows directly, if it treats no other maps.
        biases: of depthwise convolutions on their way, as (name, filter, channel).
    """

    weight: str
    bias: str | None
    filters: int
    maps: int
    channels: list[int]
    restart: int
    steps: list[int] = field(default_factory=list)
    norms: dict[Names, Pairs] = field(default_factory=dict)
    own_norm: Names | None = None
    biases: set[tuple[str, int, int]] = field(default_factory=set)


class Ownership:
    """Follows which filters' removal makes which element zero, operation by operation, each by its rule.

    Attributes:
        forward_pass: what is followed, for one image.
        sets: the sets of filters.
        numbers: for every value of the forward pass, the number of a set for each element, in a shape that broadcasts
            to the value's: (1, C, 1, 1) where all elements of a channel agree.
        convolutions: by name, in the order in which they run; depthwise ones are not among them.
        left_out: why the filters of a convolution can't be removed, by its name.
    """

    def __init__(self, network: nn.Module, forward_pass: ForwardPass) -> None:
        self.forward_pass = forward_pass
        self.sets = FilterSets()
        self.numbers = {0: torch.zeros(1, 1, 1, 1, dtype=torch.float64)}
        self.convolutions: dict[str, Convolution] = {}
        self.left_out: dict[str, str] = {}
        self.device = next(network.parameters()).device
        self._names = {id(tensor): name for name, tensor in (*network.named_buffers(), *network.named_parameters())}
        self._treated: dict[tuple[str, int], int] = {}
        self._readers: dict[tuple[str, int], set[int]] = defaultdict(set)
        for index, step in enumerate(forward_pass.steps):
            self._follow(index, step)
        self.leave_out(forward_pass.outputs, "its maps are what the network returns")
        self._place_maps()

    def sites(self) -> list[Site]:
        """The convolutions whose filters can be removed."""
        columns = self._columns()
        kept = {name: found for name, found in self.convolutions.items() if name not in self.left_out}
        return [_site(name, found, columns[name]) for name, found in kept.items()]

    def values_of_convolutions(self) -> dict[str, set[int]]:
        """By convolution, the values with elements that are zero without one of its filters."""
        values: dict[str, set[int]] = defaultdict(set)
        for value, numbers in self.numbers.items():
            for name in {name for name, _ in self.sets.members(numbers)}:
                values[name].add(value)
        return values

    def shape(self, value: int) -> torch.Size:
        """Of a value, for one image."""
        return self.forward_pass.shapes[value]

    def name(self, tensor: object) -> str | None:
        """Of a parameter or buffer; None for other tensors, in which zeros would not stay."""
        return self._names.get(id(tensor))

    def by_channel(self, value: int) -> Tensor | None:
        """The number of each channel (C,), padding left aside; None where other elements of one channel differ."""
        if len(self.shape(value)) < 2:
            return None
        elements = self.numbers[value].transpose(0, 1).flatten(1)  # (C, elements)
        padding = elements == ALWAYS
        highest = elements.masked_fill(padding, -1).amax(1)
        differ = highest != elements.masked_fill(padding, torch.inf).amin(1)
        nothing_else = padding.all(1)
        numbers = highest.masked_fill(nothing_else, ALWAYS).expand(self.shape(value)[1])
        return None if (differ & ~nothing_else).any() else numbers

    def owners(self, numbers: Tensor) -> Iterator[tuple[int, Filter]]:
        """Every channel with each of the filters that make it zero, from numbers by channel."""
        for channel, number in enumerate(numbers.int().tolist()):
            for owner in self.sets.sets[number] or ():
                yield channel, owner

    def of_zeros(self, step: Step) -> list[Tensor]:
        """What a step makes of zeros, whatever its parameters and other constants may once hold."""

        def zeros(leaf: Any) -> Any:
            if isinstance(leaf, Tensor) and leaf.is_floating_point():
                return torch.linspace(1, 2, leaf.numel(), dtype=leaf.dtype, device=leaf.device).view(leaf.shape)
            return torch.zeros(self.shape(leaf.number), device=self.device) if isinstance(leaf, Value) else leaf

        return step.run(zeros)

    def meet(self, weight: str, bias: str | None, filters: int, index: int, result: int) -> str:
        """A step runs a convolution; its name is returned."""
        name, channels, end = weight.removesuffix(".weight"), list(range(filters)), len(self.forward_pass.steps)
        found = self.convolutions.setdefault(name, Convolution(weight, bias, filters, result, channels, end))
        found.steps.append(index)
        return name

    def treat(self, names: Names, numbers: Tensor, source: int) -> None:
        """A normalisation layer treats maps, of the same filters each time that it is used."""
        convolutions = {name for _, (name, _) in self.owners(numbers)}
        alone = len(convolutions) == 1 and bool((numbers > ALWAYS).all())
        for name in convolutions:
            if alone and not self.convolutions[name].norms:
                self.convolutions[name].own_norm = names
        for channel, (name, row) in self.owners(numbers):
            self.convolutions[name].norms.setdefault(names, []).append((row, channel))
        layer = names[0] or names[2] or ""
        for channel, number in enumerate(numbers.int().tolist()):
            if layer and (first := self._treated.setdefault((layer, channel), number)) != number:
                self._exclude({first, number}, f"{layer} treats maps of other filters, too")

    def read(self, weight: str, numbers: Tensor) -> None:
        """A layer reads each channel by a column of its weight."""
        for column, number in enumerate(numbers.int().tolist()):
            self._readers[weight, column].add(number)

    def end(self, filters: Iterable[Filter], index: int) -> None:
        """A step mixes or drops maps of these filters."""
        for name in {name for name, _ in filters}:
            self.convolutions[name].restart = min(self.convolutions[name].restart, index)

    def leave_out(self, values: Iterable[int], reason: str) -> None:
        """Filters with maps in these values can't be removed."""
        for value in values:
            self._exclude(self.numbers[value].unique().int().tolist(), reason)

    def _exclude(self, numbers: Iterable[int], reason: str) -> None:
        for name in {name for number in numbers for name, _ in self.sets.sets[number] or ()}:
            self.left_out.setdefault(name, reason)

    def _follow(self, index: int, step: Step) -> None:
        owned = any(self.numbers[source].any() for source in step.sources)
        made = rule_of(step, owned)(self, index, step)
        for place, result in enumerate(step.results):
            shape = self.shape(result)
            numbers = made[place] if made else torch.zeros((1,) * len(shape), dtype=torch.float64)
            self.numbers[result] = _compact(numbers.expand(shape))

    def _columns(self) -> dict[str, dict[str, Pairs]]:
        """By convolution and by the weight that reads its maps, the columns that read no other filter set's."""
        columns: dict[str, dict[str, Pairs]] = defaultdict(lambda: defaultdict(list))
        for (weight, column), numbers in self._readers.items():
            owners = self.sets.sets[min(numbers)] if len(numbers) == 1 else None
            for name, row in owners or ():
                columns[name][weight].append((row, column))
        return columns

    def _place_maps(self) -> None:
        """Find the maps by which filters are judged; those behind an activation take the place of a normalisation's."""
        steps = self.forward_pass.steps
        for kinds in ({"batch_norm", "instance_norm"}, ACTIVATIONS.keys()):
            placed: set[str] = set()
            for value in [step.results[0] for step in steps if step.name in kinds]:
                placed |= self._judge_by(value, placed)

    def _judge_by(self, value: int, placed: set[str]) -> set[str]:
        """Judge filters by these maps, if all of their convolution are there; names of those convolutions."""
        numbers = self.by_channel(value)
        channels = {owner: channel for channel, owner in self.owners(numbers)} if numbers is not None else {}
        complete = set()
        for name in {name for name, _ in channels} - placed:
            found = self.convolutions[name]
            places = [channels[name, row] for row in range(found.filters) if (name, row) in channels]
            if len(places) == found.filters:
                found.maps, found.channels = value, places
                complete.add(name)
        return complete


def _site(name: str, found: Convolution, columns: dict[str, Pairs]) -> Site:
    norms = [_norm(names, pairs, names == found.own_norm) for names, pairs in found.norms.items()]
    readers = [Columns(weight, *_apart(pairs)) for weight, pairs in columns.items()]
    biases = tuple(sorted(found.biases))
    return Site(name, found.weight, found.bias, found.filters, tuple(norms), biases, tuple(readers))


def _norm(names: Names, pairs: Pairs, own: bool) -> Norm:
    weight, bias, mean, variance = names
    filters, channels = _apart(pairs)
    return Norm(weight, bias, mean, variance, filters, channels, own)


def _apart(pairs: Pairs) -> tuple[tuple[int, ...], tuple[int, ...]]:
    first, second = zip(*sorted(set(pairs)))
    return first, second


def _compact(numbers: Tensor) -> Tensor:
    """One number for each channel where the elements of every channel agree, else as it is."""
    if numbers.dim() < 2 or not numbers.numel():
        return numbers
    first = numbers[(slice(1), slice(None), *[slice(1)] * (numbers.dim() - 2))]
    return first.clone() if bool((numbers == first).all()) else numbers.contiguous()
