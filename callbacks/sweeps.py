"""One option of a defence, tried at several values."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from defenses import Defense


class Sweep:
    """Tries a defence with several values of one of its options, for curves in the report.

    Args:
        defense: that is varied.
        parameter: its option, such as ``deflections``; of a part of a sequence ``parts.0.deflections``.
        values: of the option, in the order of the curve.

    Attributes:
        defenses: one for each value, by the value.
    """

    def __init__(self, defense: Defense, parameter: str, values: Sequence[float]) -> None:
        if not values:
            raise ValueError(f"Sweep: values of {parameter} is empty: give at least one")
        self.defense, self.parameter, self.values = defense, parameter, list(values)
        self.defenses = {f"{value:g}": self._at(value) for value in values}
        if len(self.defenses) < len(self.values):
            raise ValueError(f"Sweep: values of {parameter}={self.values} hold one twice: give each once")

    def _at(self, value: float) -> Defense:
        other = copy.deepcopy(self.defense)
        path, _, option = self.parameter.rpartition(".")
        try:
            part: nn.Module = other.get_submodule(path)
        except AttributeError as error:
            raise ValueError(f"Sweep: {other} has no part {path}: write parts.0 for the first of a sequence") from error
        options = options_of(part)
        known = [name for name, old in options.items() if isinstance(old, int | float)]
        if option not in known:
            raise ValueError(f"Sweep: {part} has no option {option} with a number: give one of {', '.join(known)}")
        whole = isinstance(options[option], int) and float(value).is_integer()
        built = rebuilt(part, options | {option: int(value) if whole else value})
        if not path:
            return built  # type: ignore[no-any-return]
        other.set_submodule(path, built)
        return other


def options_of(part: nn.Module) -> dict[str, Any]:
    """The options that a defence was made with, which it keeps under their own names."""
    return {name: getattr(part, name) for name in inspect.signature(type(part)).parameters if hasattr(part, name)}


def rebuilt(part: nn.Module, options: Mapping[str, Any]) -> Any:
    """A defence of the same kind with other options, which its constructor checks."""
    try:
        built = type(part)(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Sweep: {error}") from error
    if "generator" in vars(part):
        built.generator = part.generator
    return built
