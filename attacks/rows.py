"""Per-image state that is narrowed as one when images leave the batch."""

from dataclasses import fields, replace
from typing import Self, TypeVarTuple

from torch import Tensor

States = TypeVarTuple("States")


class Rows:
    """A dataclass of tensors with one row per image; ``state[rows]`` keeps some of the images."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    def __getitem__(self, rows: Tensor) -> Self:
        kept = {field.name: getattr(self, field.name)[rows] for field in fields(self)}  # type: ignore[arg-type]
        return replace(self, **kept)  # type: ignore[type-var]


def places(wanted: Tensor) -> Tensor:
    """Where a mask (n,) is true, (m,). It makes a device wait once; a mask that selects does so each time."""
    return wanted.nonzero().squeeze(1)


def narrow(rows: Tensor, *states: *States) -> tuple[*States]:
    """These rows (m,), in order, of tensors and of states (n, ...); nothing is copied where all are wanted."""
    everyone = len(rows) == len(states[0])  # type: ignore[misc, arg-type]
    return states if everyone else tuple(state[rows] for state in states)  # type: ignore[index, return-value]


def column(values: Tensor, like: Tensor) -> Tensor:
    """One value per image (N,), shaped to be multiplied with images (N, ...)."""
    return values.view(-1, *[1] * (like.dim() - 1))
