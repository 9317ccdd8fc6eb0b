"""What the filters of a network are like."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from callbacks.alternating_pruning import callbacks_of, network_of
from callbacks.chosen_images import ChosenImages
from callbacks.figures import to_pixels
from callbacks.filter_figures import draw_correlations, draw_drops, draw_removed
from callbacks.filter_findings import Findings, find_out, spread
from callbacks.filter_sections import draw_relative, filter_sections, orthogonality_section
from callbacks.held_out import evidence_of
from callbacks.sections import Reporting, Section, Text
from pruning import Site, find_sites, orthogonality_sum

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

BATCH = 50  # images at a time, few enough for the maps of all layers to be in memory together


class FilterReport(Callback):
    """Shows how much the filters of each layer repeat each other, and what the network would lose without each.

    After each epoch, the sum of |cos| between the filters of each layer is noted; over all layers it is logged as
    ``filters/orthogonality``, and at the end of training drawn as ``train/filter_orthogonality``. At the end of a test,
    the first canonical correlation between the maps of every two filters of a layer is measured (figures 5.2 and 5.11
    of the thesis of Prakash 2019), and the accuracy without each filter. The report shows them, and TensorBoard as
    ``test/filter_correlations`` and ``test/filter_drops``. Where a callback removes filters, ``train/filters_removed``
    shows how many of each layer left in each cycle.

    Args:
        images: how many test images are looked at, drawn once and for all. Over fewer than 700, unrelated filters
            correlate above 0.3 by chance.
        max_layers: of a network with more layers, so many are looked at in a test, at equal distances from the first
            to the last; None means all.
        drops: measure the accuracy without each filter, which takes one evaluation of these images for each.
    """

    def __init__(self, images: int = 1000, max_layers: int | None = 12, drops: bool = True) -> None:
        if images < 2:
            raise ValueError(f"FilterReport: images={images} must be at least 2")
        if max_layers is not None and max_layers < 1:
            raise ValueError(f"FilterReport: max_layers={max_layers} must be at least 1, or null for all layers")
        self.images, self.max_layers, self.drops = images, max_layers, drops
        self.sums: dict[str, list[list[float]]] = {}  # of |cos|, by layer, as [[epoch, sum], …]
        self.image_shape: list[int] = []  # (C, H, W) in the training
        self.sites: list[Site] = []
        self.problem = ""  # why there are none
        self.chosen: ChosenImages | None = None
        self.kept: list[tuple[Tensor, Tensor]] = []  # images and labels of the test
        self.findings: Findings | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.sites, self.problem, self.kept, self.findings = [], "", [], None
        if stage == "fit":
            self.sums, self.image_shape = {}, []

    # Training.

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.image_shape:  # the run is resumed
            self._find(pl_module, self.image_shape)
            # At the very last step of an epoch, Lightning goes on with the next one and skips the epoch's end.
            before = trainer.current_epoch - 1
            if self.sites and before >= 0 and all(points[-1][0] < before for points in self.sums.values()):
                self._note(pl_module, before)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if not self.image_shape:
            self.image_shape = list(batch[0].shape[1:])
            self._find(pl_module, self.image_shape)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.sites:
            total = self._note(pl_module, trainer.current_epoch)
            pl_module.log("filters/orthogonality", total, sync_dist=True, reduce_fx="max")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.sites and self.sums:
            show(trainer, "train/filter_orthogonality", partial(draw_relative, self.sums, self._shapes(pl_module)))
        if self.sites and (history := removed(trainer)):
            filters = {site.name: site.filters for site in self.sites}
            show(trainer, "train/filters_removed", partial(draw_removed, history, filters))

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums, "image_shape": self.image_shape}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.sums, self.image_shape = state_dict["sums"], state_dict["image_shape"]

    # Testing.

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.chosen = ChosenImages(trainer, "FilterReport", self.images)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if dataloader_idx == 0 and self.chosen is not None:
            chosen = self.chosen.of_batch(batch_idx, len(batch[0]))
            self.kept.append((batch[0][chosen].cpu(), batch[1][chosen].cpu()))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        shape = trainer.strategy.broadcast(list(self.kept[0][0].shape[1:]) if self.kept else [])
        if not shape:
            return
        self._find(pl_module, shape)
        if self.sites:
            with torch.inference_mode(mode=False), self._excused():
                self._look(trainer, pl_module)
        self.kept = []

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.findings is not None:
            show(trainer, "test/filter_correlations", partial(draw_correlations, self.findings.correlations))
        if self.findings is not None and self.findings.drops is not None:
            show(trainer, "test/filter_drops", partial(draw_drops, self.findings.drops))

    def report_sections(self, trainer: Trainer, pl_module: LightningModule) -> list[Section]:
        """Of a training, the overlap of filters over the epochs; of a test, correlations and drops."""
        if self.problem:
            return [Section("Filters", [Text(self.problem)], order=31)]
        if trainer.state.fn == "fit" and self.sums and self.sites:
            return [orthogonality_section(self.sums, self._shapes(pl_module), removed(trainer, undrawn=True))]
        if trainer.state.fn == "test" and self.findings is not None:
            return filter_sections(self.findings, len(self.sites))
        return []

    def _find(self, pl_module: LightningModule, image_shape: Sequence[int]) -> None:
        network = network_of(pl_module)
        with self._excused():
            image = torch.zeros(1, *image_shape, dtype=next(network.parameters()).dtype)
            self.sites = find_sites(network, image).sites

    def _shapes(self, pl_module: LightningModule) -> dict[str, tuple[int, int]]:
        """How many filters each layer has, and how long they are."""
        weights = {site.name: network_of(pl_module).get_parameter(site.weight) for site in self.sites}
        return {name: (len(weight), weight[0].numel()) for name, weight in weights.items()}

    def _note(self, pl_module: LightningModule, epoch: int) -> float:
        sums = orthogonality_sum(network_of(pl_module), self.sites)
        for name, value in sums.items():
            self.sums.setdefault(name, []).append([epoch, value])
        return sum(sums.values())

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> None:
        images, labels = (torch.cat(parts).split(BATCH) for parts in zip(*self.kept))
        evidence = evidence_of(trainer, pl_module, list(zip(images, labels)))
        picked = spread(self.sites, self.max_layers)
        if self.drops:
            filters = sum(site.filters for site in picked)
            rank_zero_info(f"FilterReport tests the network without each of {filters:,} filters; drops=False skips it")
        self.findings = find_out(network_of(pl_module), picked, evidence, self.drops)

    @contextmanager
    def _excused(self) -> Iterator[None]:
        """A network whose filters can't be followed spoils neither a training nor a test."""
        try:
            yield
        except ValueError as error:
            self.problem = f"The report is without filters: {error}."
            rank_zero_warn(self.problem)


def removed(trainer: Trainer, undrawn: bool = False) -> Sequence[Mapping[str, Any]]:
    """What other callbacks removed in which cycle; on demand, only if their own section does not show it."""
    histories: list[Sequence[Mapping[str, Any]]] = [
        getattr(callback, "pruned_history", [])
        for callback in callbacks_of(trainer)
        if not (undrawn and isinstance(callback, Reporting))
    ]
    return next(filter(None, histories), [])


def show(trainer: Trainer, tag: str, draw: Callable[[], "Drawing"]) -> None:
    """Put a drawing into TensorBoard, where there is one."""
    for logger in trainer.loggers:
        if trainer.is_global_zero and isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(tag, to_pixels(draw()), trainer.global_step, dataformats="HWC")
