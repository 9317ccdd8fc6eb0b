"""One option of a defence, tried at several values."""

import copy
from collections.abc import Sequence

from torch import nn

from defenses import Defense


class Sweep:
    """Tries a defence with several values of one of its options, for a curve in the report.

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

    def _at(self, value: float) -> Defense:
        other = copy.deepcopy(self.defense)
        path, _, option = self.parameter.rpartition(".")
        try:
            part: nn.Module = other.get_submodule(path)
        except AttributeError as error:
            raise ValueError(f"Sweep: {other} has no part {path}: write parts.0 for the first of a sequence") from error
        known = [name for name, old in vars(part).items() if isinstance(old, int | float) and name[0] != "_"]
        known = [name for name in known if name != "training"]
        if option not in known:
            raise ValueError(f"Sweep: {part} has no option {option} with a number: give one of {', '.join(known)}")
        whole = isinstance(getattr(part, option), int) and float(value).is_integer()
        setattr(part, option, int(value) if whole else value)
        return other
