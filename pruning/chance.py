"""The ranking that all others have to beat."""

from collections.abc import Sequence

import torch
from torch import Generator, nn

from pruning.ranking import Evidence, Importance, Ranking
from pruning.sites import Site


class Random(Ranking):
    """Chance, the same on all ranks and after a resume.

    Args:
        seed: of the draw; each cycle has its own.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def importance(self, network: nn.Module, sites: Sequence[Site], evidence: Evidence | None = None) -> Importance:
        cycle = evidence.cycle if evidence else 0
        generator = cycle_generator(self.seed, cycle)
        return {site.name: torch.rand(site.filters, dtype=torch.float64, generator=generator) for site in sites}


def cycle_generator(seed: int, cycle: int) -> Generator:
    """A generator of the CPU for what is drawn in one cycle, the same on all ranks and after a resume."""
    return torch.Generator().manual_seed(1_000_003 * seed + cycle)
