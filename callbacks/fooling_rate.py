"""How easily a network is fooled."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from attacks import PGD, Attack, KnownPerturbation
from attacks.budgets import check_budgets
from callbacks.chosen_images import ChosenImages
from callbacks.fooling_sections import fooling_section, picture_grid
from callbacks.naming import names_of
from callbacks.sections import Section
from callbacks.trials import Trial


class FoolingRate(Callback):
    """Attacks the test images, and reports how often the prediction changes and by how little.

    Each attack moves the network's own predictions. Logged under ``test/<attack>/`` are the figures of
    ``metrics.FoolingRate``, and of ``metrics.AdversarialRadius`` for attacks that look for the smallest perturbation or
    are tried at several budgets. Those radii are in each attack's own norm, L∞ or L2 (L2 where it has no option
    ``norm``), which the report names: only radii of one norm compare. The report shows tables, curves of success over
    the budget, and pictures.

    Args:
        attacks: PGD in the L∞ ball of 8/255 with 10 steps by default.
        images: so many test images are attacked, drawn once and for all; 0 takes all.
        budgets: at which attacks with a fixed budget are tried, too, rising, in pixels scaled to [0, 1].
        samples: how many fooled images are shown for each attack.
        perturbations: files of universal perturbations that are added to the images, beside the attacks and under the
            names of their files, see ``attacks.load_perturbation``.
    """

    def __init__(
        self,
        attacks: Sequence[Attack] | None = None,
        images: int = 1000,
        budgets: Sequence[float] = (),
        samples: int = 6,
        perturbations: Sequence[str] = (),
    ) -> None:
        for name, value in {"images": images, "samples": samples}.items():
            if value < 0:
                raise ValueError(f"FoolingRate: {name}={value} must be 0 or more")
        check_budgets(budgets)
        self.attacks = list(attacks) if attacks is not None else [PGD(eps=8 / 255, steps=10, stop="success")]
        self.perturbations = list(perturbations)
        if not self.attacks and not self.perturbations:
            raise ValueError("FoolingRate: attacks is empty: name at least one, or files of perturbations")
        self.images, self.budgets, self.samples = images, list(budgets), samples
        self.trials: list[Trial] = []
        self.figures: dict[str, dict[str, float]] = {}  # by attack, of all ranks
        self.curves: dict[str, Tensor] = {}  # smallest budgets of recognised images by attack, of all ranks
        self.chosen: ChosenImages | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.trials, self.figures, self.curves = [], {}, {}
        if stage != "test":
            return
        attacks = [*self.attacks, *map(KnownPerturbation, self.perturbations)]
        names = names_of(attacks)
        self.trials = [Trial(name, attack, self.budgets, self.samples) for name, attack in zip(names, attacks)]
        for trial in self.trials:
            trial.rate.to(trainer.strategy.root_device)
            trial.radius.to(trainer.strategy.root_device)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.chosen = ChosenImages(trainer, "FoolingRate", self.images)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if dataloader_idx > 0 or self.chosen is None:
            return
        chosen = self.chosen.of_batch(batch_idx, len(batch[0]))
        if not chosen.any():
            return
        images, labels = batch[0][chosen], batch[1][chosen]
        with trainer.precision_plugin.forward_context():
            known = isinstance(outputs, Mapping) and "scores" in outputs
            scores = outputs["scores"][chosen] if known else pl_module(images)
            for trial in self.trials:
                trial.run(pl_module, images, labels, scores.argmax(1))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for trial in self.trials:
            found = trial.rate.compute()
            if trial.has_radius:
                found |= {f"radius_{name}": value for name, value in trial.radius.compute().items()}
                with trial.radius.sync_context(should_sync=trainer.world_size > 1):
                    self.curves[trial.name] = trial.radius.known().cpu()
            trial.costs = trainer.strategy.reduce(trial.costs.to(pl_module.device), reduce_op="sum").cpu()
            self.figures[trial.name] = {name: float(value) for name, value in found.items()}
            for name, value in self.figures[trial.name].items():
                # All ranks hold the same figure already; the maximum of equal numbers keeps it to the last bit.
                pl_module.log(f"test/{trial.name}/{name}", value, sync_dist=True, reduce_fx="max")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                self._show(logger.experiment, trainer.global_step)

    def report_sections(self, trainer: Trainer, pl_module: LightningModule) -> list[Section]:
        """How often each attack fooled, with what, and what that looks like."""
        return [fooling_section(self.trials, self.figures, self.curves, trainer)] if self.figures else []

    def _show(self, experiment: Any, step: int) -> None:
        for trial in self.trials:
            if trial.pictures is not None and len(trial.pictures):
                experiment.add_image(f"test/{trial.name}", picture_grid(trial.pictures), step)
