"""Training in turns: with all of the network, then with a part of it."""

from dataclasses import dataclass
from typing import NamedTuple


class Phase(NamedTuple):
    """Where a position of the training lies.

    Attributes:
        cycle: counted from 0; after the last cycle, the number of cycles.
        pruned: whether a part of the network is gone.
    """

    cycle: int
    pruned: bool


@dataclass(frozen=True)
class Phases:
    """Cycles of a full and a pruned phase, and the full network for the rest of the training.

    Attributes:
        full: S1, length of a full phase.
        pruned: S2, length of a pruned phase.
        cycles: N.
    """

    full: int
    pruned: int
    cycles: int

    def __post_init__(self) -> None:
        if self.full < 1 or self.pruned < 1 or self.cycles < 0:
            raise ValueError(
                f"phases of {self.full} and {self.pruned} in {self.cycles} cycles are impossible: phases have at least "
                "the length 1, and cycles=0 switches them off"
            )

    @property
    def length(self) -> int:
        """Of all cycles; from this position on the network is full."""
        return self.cycles * (self.full + self.pruned)

    def at(self, position: int) -> Phase:
        """The phase of an epoch or step, which are counted from 0."""
        cycle, place = divmod(position, self.full + self.pruned)
        return Phase(cycle, place >= self.full) if cycle < self.cycles else Phase(self.cycles, False)
