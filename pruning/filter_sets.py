"""Sets of filters that are numbered, so that a tensor can name one for each of its elements."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Filter = tuple[str, int]  # a convolution's name and a row of its weight
Filters = frozenset[Filter] | None  # None is the set of all filters
NOBODY, ALWAYS = 0, 1  # the numbers of the empty set and of the set of all filters


class FilterSets:
    """For an element of a tensor, the filters whose removal makes it zero, whichever of them is removed.

    The empty set: no single filter does. All filters: the element is always zero, such as one that padding added.
    """

    def __init__(self) -> None:
        self.sets: list[Filters] = [frozenset(), None]
        self._numbers: dict[Filters, int] = {frozenset(): NOBODY, None: ALWAYS}
        self._naming: dict[Filter, list[int]] = {}  # the numbers of the sets that name a filter

    def number(self, filters: Filters) -> int:
        """Of a set, a new one if it is new."""
        if filters not in self._numbers:
            self._numbers[filters] = len(self.sets)
            self.sets.append(filters)
            for member in filters or ():
                self._naming.setdefault(member, []).append(self._numbers[filters])
        return self._numbers[filters]

    def vector(self, sets: Iterable[Filters]) -> Tensor:
        """The numbers of several sets; float64 holds them exactly and passes through every operation."""
        return torch.tensor([self.number(filters) for filters in sets], dtype=torch.float64)

    def members(self, numbers: Tensor) -> set[Filter]:
        """All filters that some element names."""
        return {member for number in numbers.unique().int().tolist() for member in self.sets[number] or ()}

    def naming(self, numbers: Tensor, member: Filter) -> Tensor:
        """Which elements name a filter, bool: they are zero once it is removed."""
        return torch.isin(numbers, torch.tensor(self._naming.get(member, []), dtype=numbers.dtype))

    def combine(self, a: Tensor, b: Tensor, rule: Callable[[Filters, Filters], Filters]) -> Tensor:
        """Apply a rule to the sets of two broadcastable tensors of numbers."""
        size = len(self.sets)
        pairs, positions = (a * size + b).unique(return_inverse=True)
        sets = [rule(self.sets[pair // size], self.sets[pair % size]) for pair in pairs.long().tolist()]
        return self.vector(sets)[positions]


def union(a: Filters, b: Filters) -> Filters:
    """Of a product: it is zero where either factor is."""
    return None if a is None or b is None else a | b


def intersection(a: Filters, b: Filters) -> Filters:
    """Of a sum: it is zero where both terms are."""
    return b if a is None else a if b is None else a & b


def lost(a: Filters, b: Filters) -> Filters:
    """Filters that make one term of a sum zero, but not the sum."""
    return frozenset() if a is None or b is None else a ^ b
