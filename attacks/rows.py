"""Per-image state that is narrowed as one when images leave the batch."""

from dataclasses import fields, replace
from typing import Self, TypeVarTuple

from torch import Tensor

States = TypeVarTuple("States")


class Rows:
    """A dataclass of tensors with one row per image; ``state[rows]`` keeps some of the images."""

    def __getitem__(self, rows: Tensor) -> Self:
        kept = {field.name: getattr(self, field.name)[rows] for field in fields(self)}  # type: ignore[arg-type]
        return replace(self, **kept)  # type: ignore[type-var]


def narrow(wanted: Tensor, *states: *States) -> tuple[*States]:
    """The wanted rows (n,) of tensors and of states; nothing is copied where all are wanted."""
    return states if bool(wanted.all()) else tuple(state[wanted] for state in states)  # type: ignore[index, return-value]


def column(values: Tensor, like: Tensor) -> Tensor:
    """One value per image (N,), shaped to be multiplied with images (N, ...)."""
    return values.view(-1, *[1] * (like.dim() - 1))
