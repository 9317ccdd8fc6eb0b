"""How much of what attacks do is undone by defences."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from attacks import FGSM, IGSM, Attack
from callbacks.adversarial_cache import AdversarialCache, craft
from callbacks.chosen_images import ChosenImages
from callbacks.defense_trials import Bench, Craft, DefenseTrial, begin
from callbacks.destruction_findings import Curve, Findings
from callbacks.destruction_grids import grids
from callbacks.destruction_sections import any_random, destruction_section
from callbacks.fooling_sections import picture_grid
from callbacks.naming import named, names_of
from callbacks.sections import Section
from callbacks.sweeps import Sweep
from defenses import Defense, PixelDeflection, RobustActivationMap, Sequence, WaveletDenoise, looking
from metrics import DestructionRate as Rates
from options import check_at_least, check_whole

PREFIX = "test/defended"


class DestructionRate(Callback):
    """Attacks the test images that are recognised, puts defences before the network, and reports what they undo.

    The tables of Prakash 2019, chapter 4. Attacks know the network but not the defences, unless ``adaptive`` asks for
    the other case as well. Logged under ``test/defended/<attack>/<defence>/`` are ``destruction_rate`` (see
    ``metrics.DestructionRate``) and ``acc``, the share of recognised images that are recognised behind the defence;
    with ``ensemble_`` before them the same for several runs that vote, with ``adaptive_`` for an attacker who knows the
    defence. ``clean`` stands for no attack. The test prints them as grids. Results depend neither on the batch size
    nor on the ranks.

    Args:
        attacks: by name, or a list; FGSM and IGSM of 8/255 by default.
        defenses: by name, or a list; pixel deflection with a robust activation map and wavelet denoising by default.
        ensemble: so many runs of a random defence vote.
        adaptive: attack also through each defence, with its gradient and averaged over its randomness.
        eot: over so many runs an adaptive attacker averages.
        images: so many test images are taken, drawn once and for all; 0 takes all.
        sweeps: options of defences that are tried at several values, by name, or a list; for curves in the report. Of a
            single run ``<attack>/<sweep>/<option>=<value>/destruction_rate`` and ``acc`` are logged.
        clean: put clean images through the defences, too.
        samples: how many fooled images are shown for each attack.
        cache: folder in which adversarial images are kept for later tests; None keeps none.
    """

    def __init__(
        self,
        attacks: dict[str, Attack] | list[Attack] | None = None,
        defenses: dict[str, Defense] | list[Defense] | None = None,
        ensemble: int = 10,
        adaptive: bool = False,
        eot: int = 5,
        images: int = 1000,
        sweeps: dict[str, Sweep] | list[Sweep] | None = None,
        clean: bool = True,
        samples: int = 3,
        cache: str | None = None,
    ) -> None:
        check_whole(self, ensemble=ensemble, eot=eot, images=images, samples=samples)
        check_at_least(self, 1, ensemble=ensemble, eot=eot)
        check_at_least(self, 0, images=images, samples=samples)
        self.attacks = named("DestructionRate: attacks", [FGSM(), IGSM()] if attacks is None else attacks)
        if "clean" in self.attacks:
            raise ValueError("DestructionRate: an attack is named clean, which stands for no attack: rename it")
        self.defenses = named("DestructionRate: defenses", [best_of_thesis()] if defenses is None else defenses)
        self.ensemble, self.adaptive, self.eot, self.images = ensemble, adaptive, eot, images
        self.sweeps = named("DestructionRate: sweeps", by_defense(sweeps)) if sweeps else {}
        self.with_clean, self.samples = clean, samples
        self.cache = Path(cache).expanduser() if cache else None
        self.trials: list[DefenseTrial] = []
        self.chosen: ChosenImages | None = None
        self.findings: Findings | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.trials, self.findings = [], None
        if stage == "test":
            self._attach(pl_module)  # a network without feature maps is refused before the long test

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not at the start of the test, when another callback may still put a defence before the network.
        self.chosen = ChosenImages(trainer, "DestructionRate", self.images)
        self.craft: Craft | None = None
        self._attach(pl_module)
        self.bench = Bench(pl_module, self.defenses, self.ensemble)
        self.benches = [Bench(pl_module, sweep.defenses, 1) for sweep in self.sweeps.values()]
        self.trials = [DefenseTrial(name, attack, self.bench, self.samples) for name, attack in self.attacks.items()]
        self.clean = Rates(self.bench.shape)
        tried = [*self.attacks, *(["clean"] if self.with_clean else [])]
        self.curves = [{name: Rates(bench.shape) for name in tried} for bench in self.benches]
        for trial in self.trials if self.adaptive else []:
            trial.watch_adaptive()
        every = [self.clean, *(rate for curve in self.curves for rate in curve.values())]
        for metric in [*every, *(metric for trial in self.trials for metric in trial.metrics)]:
            begin(metric, trainer.strategy.root_device)

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
            guesses = (outputs["scores"][chosen] if known else pl_module(images)).argmax(1)
            behind = self.bench.predict(images) if self.with_clean else guesses.expand(*self.bench.shape, -1)
            self.clean.update(guesses, guesses, behind, labels)
            right = guesses == labels
            if right.any():
                self.craft = self.craft or self._crafter(trainer, pl_module)
                self._try(self.craft, images[right], labels[right])

    def _crafter(self, trainer: Trainer, pl_module: LightningModule) -> Craft:
        """Asked for with the first batch, when the network is in its final state, memories of a readout included."""
        if self.cache is None:
            return partial(craft, pl_module)
        return AdversarialCache(self.cache, pl_module, str(trainer.precision)).craft

    def _try(self, craft: Craft, images: Tensor, labels: Tensor) -> None:
        """All attacks on recognised images."""
        points = {"clean": images} | {trial.name: trial.run(images, labels, craft, self.eot) for trial in self.trials}
        for bench, curve in zip(self.benches, self.curves):
            for name, rates in curve.items():
                guesses = bench.model(points[name]).argmax(1)
                rates.update(labels, guesses, bench.predict(points[name]), labels)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.trials:
            return
        for costs in (self.bench.costs, *(trial.costs for trial in self.trials)):
            costs.copy_(trainer.strategy.reduce(costs.to(trainer.strategy.root_device), reduce_op="sum"))
        curves = [Curve.of(name, sweep, rates) for (name, sweep), rates in zip(self.sweeps.items(), self.curves)]
        self.findings = Findings.of(self.clean, self.with_clean, self.trials, self.bench, self.eot, curves)
        for name, value in self.findings.figures().items():
            # All ranks hold the same figure already; the maximum of equal numbers keeps it to the last bit.
            pl_module.log(f"{PREFIX}/{name}", value, sync_dist=True, reduce_fx="max")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.findings is None or not trainer.is_global_zero:
            return
        rank_zero_info(grids(self.findings, any_random(self.bench)))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for trial in self.trials:
                    if trial.pictures is not None and len(trial.pictures):
                        tag = f"{PREFIX}/{trial.name}"
                        logger.experiment.add_image(tag, picture_grid(trial.pictures), trainer.global_step)

    def report_sections(self, trainer: Trainer, pl_module: LightningModule) -> list[Section]:
        """What each defence brings back from each attack, at what price, and what that looks like."""
        return [destruction_section(self.findings, self.trials, self.bench, trainer)] if self.findings else []

    def _attach(self, pl_module: LightningModule) -> None:
        for group in (self.defenses, *(sweep.defenses for sweep in self.sweeps.values())):
            for defense in group.values():
                defense.attach(looking(pl_module))


def by_defense(sweeps: Mapping[str, Sweep] | list[Sweep]) -> Mapping[str, Sweep]:
    """Sweeps by the names they were given, or by those of their defences."""
    if isinstance(sweeps, Mapping):
        return sweeps
    return dict(zip(names_of([sweep.defense for sweep in sweeps]), sweeps))


def best_of_thesis() -> Defense:
    """Pixel deflection away from where the network looks, then wavelet denoising."""
    return Sequence([PixelDeflection(activation_map=RobustActivationMap()), WaveletDenoise()])
