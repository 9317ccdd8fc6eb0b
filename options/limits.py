"""Numbers that an option cannot be."""

from numbers import Integral


def check_at_least(owner: object, least: float, **options: float | None) -> None:
    """Options that must not be smaller than something; None passes."""
    for name, value in options.items():
        if value is not None and not value >= least:
            raise ValueError(f"{type(owner).__name__}: {name}={value} must be at least {least}")


def check_above(owner: object, least: float, **options: float | None) -> None:
    """Options that must be larger than something; None passes."""
    for name, value in options.items():
        if value is not None and not value > least:
            raise ValueError(f"{type(owner).__name__}: {name}={value} must be above {least}")


def check_between(owner: object, low: float, high: float, **options: float | None) -> None:
    """Options with a range; None passes."""
    for name, value in options.items():
        if value is not None and not low <= value <= high:
            raise ValueError(f"{type(owner).__name__}: {name}={value} must lie from {low} to {high}")


def check_whole(owner: object, **options: float | None) -> None:
    """Options that count something; None passes."""
    for name, value in options.items():
        if value is not None and not isinstance(value, Integral):
            raise ValueError(f"{type(owner).__name__}: {name}={value} must be a whole number")
