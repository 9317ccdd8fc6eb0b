"""RePr: filters that repeat others leave for a while and return as something new."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from callbacks.alternating_pruning import AlternatingPruning, Unit, network_of
from callbacks.held_out import evidence_of, held_out_batches
from callbacks.phases import Phases
from callbacks.pruning_sections import pruning_section
from callbacks.sections import Section
from pruning import (
    NextColumns,
    Orthogonality,
    Ranking,
    ResetStatistics,
    Scope,
    Site,
    Statistics,
    bring_back,
    check_shares,
    cycle_generator,
    entries,
    find_sites,
    initial_norms,
    keep_all_but,
    remove,
    select,
)


class RePr(AlternatingPruning):
    """Trains better filters: in cycles, the least important ones leave and return orthogonal to all others.

    Prakash et al. 2019, "RePr: Improved Training of Convolutional Filters", arXiv 1811.07275, algorithm 1. In each
    cycle the full network is trained for S1 epochs, all filters are ranked, the lowest p percent leave, the rest is
    trained for S2 epochs, and those that left return with new weights, orthogonal to the survivors and to what they
    were. In the end the full network is trained. A filter that has left is exactly zero, with the BatchNorm that treats
    it. Meanwhile nothing is validated and no best checkpoint is taken.

    Args:
        percent: p, how many percent of the ranked filters leave, in (0, 100).
        full_epochs: S1, length of a phase with all filters.
        pruned_epochs: S2, length of a phase without those that left.
        cycles: N.
        ranking: gives each filter an importance; ``Orthogonality`` by default.
        unit: of the two lengths: epochs or steps of the optimiser.
        exclude: convolutions that are not ranked, by name in the network; "first" is the first one. The paper does not
            say it, but with short filters that one would lose most, see ``Orthogonality``.
        max_per_layer: the largest share of a layer's filters that may leave, in (0, 1].
        scope: which filters compete; all of the network by default.
        reinit_next: what the layers behind start with where they read returned filters; ``KeepColumns`` by default.
        bn_statistics: what running means and variances of returned filters start with; ``ResetStatistics`` by default.
        validate_pruned: validate while filters are away, too, and let such a network become the best checkpoint.
    """

    def __init__(
        self,
        percent: float = 30.0,
        full_epochs: int = 20,
        pruned_epochs: int = 10,
        cycles: int = 3,
        ranking: Ranking | None = None,
        unit: Unit = "epoch",
        exclude: Sequence[str] = ("first",),
        max_per_layer: float = 0.9,
        scope: Scope | None = None,
        reinit_next: NextColumns | None = None,
        bn_statistics: Statistics | None = None,
        validate_pruned: bool = False,
    ) -> None:
        check_shares(percent, max_per_layer)
        super().__init__(Phases(full_epochs, pruned_epochs, cycles), unit, validate_pruned)
        self.percent, self.exclude, self.max_per_layer, self.scope = percent, exclude, max_per_layer, scope
        self.ranking = ranking or Orthogonality()
        self.reinit_next, self.bn_statistics = reinit_next, bn_statistics or ResetStatistics()
        self.sites: list[Site] = []
        self.seed: int | None = None
        self.norms: dict[str, float] = {}  # that new filters have, by convolution
        self.chosen: dict[str, Tensor] = {}  # the filters that are away, by convolution, bool (J,)
        self.old: dict[str, Tensor] = {}  # what they were, by a tensor's name
        self.pruned_history: list[dict[str, Any]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        self.seed, self.norms, self.chosen, self.old, self.pruned_history = None, {}, {}, {}, []
        if self.needs_images and not trainer.limit_val_batches:
            raise ValueError(f"{type(self.ranking).__name__} needs validation images: set limit_val_batches above 0")

    @property
    def needs_images(self) -> bool:
        """Whether held-out images are looked at."""
        return self.ranking.needs_images or self.bn_statistics.needs_images

    def begin(self, trainer: Trainer, pl_module: LightningModule, images: Tensor) -> None:
        network = network_of(pl_module)
        if self.needs_images:
            held_out_batches(trainer)  # refuses now what would fail in the first ranking
        self.sites, left_out = find_sites(network, torch.zeros_like(images[:1]))
        select({site.name: torch.zeros(site.filters) for site in self.sites}, *self._amounts())  # can it be done?
        if self.seed is None:  # not resumed
            self.seed = int(trainer.strategy.broadcast(torch.initial_seed() % 2**31))
            self.norms = initial_norms(network, self.sites)
        for name, reason in left_out.items():
            rank_zero_info(f"RePr leaves {name} as it is: {reason}")

    def leave(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Tensor]:
        network = network_of(pl_module)
        batches = held_out_batches(trainer) if self.ranking.needs_images else ()
        evidence = evidence_of(trainer, pl_module, batches, self.drops, self.seed or 0)
        importance = self.ranking.importance(network, self.sites, evidence)
        self.chosen = trainer.strategy.broadcast(select(importance, *self._amounts()))
        gone = entries(self.sites, self.chosen)
        self.old = remove(network, gone)
        removed = {name: picked.nonzero().flatten().tolist() for name, picked in self.chosen.items()}
        self.pruned_history.append({"cycle": self.drops, "position": self.position(trainer), "removed": removed})
        return keep_all_but(network, gone)

    def come_back(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network, generator = network_of(pl_module), cycle_generator(self.seed or 0, self.drops - 1)
        tiers = bring_back(network, self.sites, self.chosen, self.old, self.norms, generator, self.reinit_next)
        batches = held_out_batches(trainer) if self.bn_statistics.needs_images else ()
        self.bn_statistics.settle(network, self.sites, self.chosen, batches)
        self.chosen, self.old = {}, {}
        room = {name: list(found) for name, found in tiers.items()}
        back = {"returned": self.position(trainer), "epoch": trainer.current_epoch, "tiers": room}
        self.pruned_history[-1] |= back

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        away = sum(int(picked.sum()) for picked in self.chosen.values())
        figures = {"repr/filters_away": float(away)} | tier_figures(self.pruned_history, trainer.current_epoch)
        pl_module.log_dict(figures, sync_dist=True, reduce_fx="max")

    def report_sections(self, trainer: Trainer, pl_module: LightningModule) -> list[Section]:
        """What left and how it returned."""
        return [pruning_section(self, trainer)] if self.pruned_history and trainer.state.fn == "fit" else []

    def state_dict(self) -> dict[str, Any]:
        own = {"seed": self.seed, "norms": self.norms, "chosen": self.chosen, "old": self.old}
        return super().state_dict() | own | {"pruned_history": self.pruned_history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.seed, self.norms = state_dict["seed"], state_dict["norms"]
        self.chosen, self.old = state_dict["chosen"], state_dict["old"]
        self.pruned_history = state_dict["pruned_history"]

    def _amounts(self) -> tuple[float, float, Sequence[str], Scope | None]:
        return self.percent, self.max_per_layer, self.exclude, self.scope


def tier_figures(history: Sequence[Mapping[str, Any]], epoch: int) -> dict[str, float]:
    """How many filters returned in an epoch, by the room that they found; nothing where none returned."""
    found = [tiers for entry in history if entry.get("epoch") == epoch for tiers in entry["tiers"].values()]
    names = ("repr/tier_orthogonal_to_all", "repr/tier_orthogonal_to_survivors", "repr/tier_orthogonal_to_nobody")
    return {name: float(sum(counts)) for name, counts in zip(names, zip(*found))}
