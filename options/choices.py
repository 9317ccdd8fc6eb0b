"""Objects that short names in a config stand for."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def by_name(option: str, value: T | str, classes: Mapping[str, type[T]]) -> T:
    """An object that is given as such, or by the short name of its class."""
    if not isinstance(value, str):
        return value
    if value not in classes:
        raise ValueError(f"{option}={value!r} is unknown: give one of {', '.join(classes)}, or an object")
    return classes[value]()
