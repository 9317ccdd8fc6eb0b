"""The ranking that all others have to beat."""

from collections.abc import Sequence

import torch
from torch import Generator, nn

from pruning.ranking import Evidence, Importance, Ranking
from pruning.sites import Site


class Random(Ranking):
    """Chance, the same on all ranks and after a resume.

    Args:
        seed: of the draws; None takes the run's. Each cycle has its own.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def importance(self, network: nn.Module, sites: Sequence[Site], evidence: Evidence | None = None) -> Importance:
        evidence = evidence or Evidence()
        seed = evidence.seed if self.seed is None else self.seed
        # Counted downwards: from 0 upwards, cycles draw the new weights.
        generator = cycle_generator(seed, -1 - evidence.cycle)
        return {site.name: torch.rand(site.filters, dtype=torch.float64, generator=generator) for site in sites}


def cycle_generator(seed: int, cycle: int) -> Generator:
    """A generator of the CPU for what is drawn in one cycle, the same on all ranks and after a resume."""
    return torch.Generator().manual_seed(1_000_003 * seed + cycle)
