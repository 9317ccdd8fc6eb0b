"""Names of attacks and defences, in metrics and in the report."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import defenses
from attacks import KnownPerturbation

T = TypeVar("T")


def names_of(items: Sequence[Any]) -> list[str]:
    """A name for each; where several have the same, they are numbered from the second on."""
    kinds = [kind_of(item) for item in items]
    seen = [kinds[: place + 1].count(kind) for place, kind in enumerate(kinds)]
    return [kind if count == 1 else f"{kind}_{count}" for kind, count in zip(kinds, seen)]


def kind_of(item: Any) -> str:
    """The class in lower case; the parts of a sequence, joined by plus signs; the file of a known perturbation."""
    if isinstance(item, defenses.Sequence):
        return "+".join(kind_of(part) for part in item.parts)
    return item.path.stem if isinstance(item, KnownPerturbation) else type(item).__name__.lower()


def named(option: str, items: Mapping[str, T] | Sequence[T]) -> dict[str, T]:
    """Items by the names they were given, or by those of their classes."""
    found = dict(items) if isinstance(items, Mapping) else dict(zip(names_of(items), items))
    if not found:
        raise ValueError(f"{option} is empty: name at least one")
    for name in found:
        if not name or "/" in name:
            raise ValueError(f"{option}: the name {name!r} must be words without a slash, since metrics are named so")
    return found
