"""One perturbation that fools a network on most images, and other networks too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from attacks import Single, UniversalAttack, interpolate, load_perturbation, save_perturbation, scan
from attacks import UniversalPerturbation as DeepFoolCrafting
from attacks.interpolation import LAMS
from attacks.schedules import Schedule
from callbacks.other_networks import Networks, by_name, put_beside
from callbacks.sections import Section
from callbacks.universal_crafts import Craft, Plan, craft, crafting_images, plan
from callbacks.universal_sections import Findings, picture_grids, universal_section
from callbacks.universal_trials import Measuring

PREFIX = "test/universal"


class UniversalPerturbation(Callback):
    """Crafts one perturbation that fools the network on most test images, and measures it on other networks as well.

    Moosavi-Dezfooli et al. 2017, arXiv 1610.08401; for several networks Kühne and Tödtli, "Combining Universal
    Adversarial Perturbations". Perturbations are crafted on training images before a test, or at the end of training,
    and stored in the run folder under ``perturbations/``. Logged under ``test/universal/`` is the fooling rate
    ``<perturbation>/<network>`` for x + v as in the published code, and under ``test/universal_clipped/`` for x + v cut
    to [0, 1]. Ranks share the perturbations: each is crafted by one of them, so the result is that of one process.

    Args:
        networks: others, by name, or a list; each with its own weights. All take images of one size: see ``Resized``.
        schedule: ``Single`` (default) crafts one perturbation for each network, ``EveryNetwork`` and ``Alternate`` one
            for several together; or a list of these. An empty list crafts none.
        together: names of the networks that schedules for several serve and that the scan lies between; all by default.
        attack: how; by default ``attacks.UniversalPerturbation``, the published algorithm. Its schedule is not used.
        scan: measure interpolations between the perturbations of the first two networks of ``together``, at λ = 0,
            0.05, …, 1, and as ``interpolation`` the one that fools them most on the training images.
        files: finished perturbations by name, measured beside, see ``attacks.load_perturbation``.
        images: crafted on so many training images, the first ones of a fixed random order; 0 takes all.
        validation: craft on validation images instead.
        after_fit: craft at the end of training instead, on its last weights; a test then takes what is stored, also
            where it measures other weights, such as the best.
        name: of the network that is trained.
        samples: how many perturbed images are shown.
    """

    def __init__(
        self,
        networks: Networks | None = None,
        schedule: Schedule | Sequence[Schedule] | None = None,
        together: Sequence[str] | None = None,
        attack: UniversalAttack | None = None,
        scan: bool = False,
        files: Mapping[str, str] | None = None,
        images: int = 1000,
        validation: bool = False,
        after_fit: bool = False,
        name: str = "trained",
        samples: int = 6,
    ) -> None:
        self.others, self.name = by_name(networks or {}), name
        names = [name, *self.others]
        if name in self.others:
            raise ValueError(f"UniversalPerturbation: another network is called {name}, too: choose another name")
        self.together = list(together) if together is not None else names
        self.scan, self.files = scan, {key: Path(path).expanduser() for key, path in (files or {}).items()}
        self.images, self.samples = images, samples
        self.validation, self.after_fit = validation, after_fit
        schedules = [schedule or Single()] if schedule is None or isinstance(schedule, Schedule) else list(schedule)
        self.plans = plan(attack or DeepFoolCrafting(), schedules, names, self.together)
        self._check(names)
        self.folder = Path()  # of the run
        self.networks: dict[str, nn.Module] = {}  # the others
        self.crafts: dict[str, Craft] = {}
        self.lam: float | None = None  # the best of the scan
        self.measuring: Measuring | None = None
        self.findings: Findings | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.crafts, self.lam, self.measuring, self.findings = {}, None, None, None
        # Asked here, where all ranks come by: the answer is broadcast.
        self.folder = Path(trainer.log_dir or trainer.default_root_dir)
        if stage == "test" or (stage == "fit" and self.after_fit):
            self.networks = put_beside(trainer, self.others)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.after_fit:
            self._craft(trainer, pl_module, crafting_images(trainer, self.images, self.validation))
            self.findings = Findings(self.crafts)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        crafting = bool(self.plans) and not self.after_fit
        images = crafting_images(trainer, self.images, self.validation) if crafting or self.scan else None
        if crafting and images is not None:
            self._craft(trainer, pl_module, images)
            found = {name: each.perturbation for name, each in self.crafts.items()}
        else:
            found = {each.name: load_perturbation(self._path(each)) for each in self.plans}
        device = trainer.strategy.root_device
        found |= {name: load_perturbation(path) for name, path in self.files.items()}
        found = {name: vector.to(device) for name, vector in found.items()}
        grid = []
        if self.scan and images is not None:
            v_f, v_g = (found[name] for name in self.together[:2])
            self.lam = self._best_lam(trainer, pl_module, images, v_f, v_g)
            found["interpolation"] = interpolate(v_f, v_g, self.lam)
            grid = [interpolate(v_f, v_g, lam) for lam in LAMS]
        self.measuring = Measuring(found, grid, [pl_module, *self.networks.values()], self.samples, device)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if dataloader_idx > 0 or self.measuring is None:
            return
        with trainer.precision_plugin.forward_context():
            self.measuring.update(batch[0])

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.measuring is None:
            return
        plain, clipped, mixed = self.measuring.rates()
        self.findings = Findings(
            self.crafts,
            [self.name, *self.networks],
            {name: vector.cpu() for name, vector in self.measuring.vectors.items()},
            plain,
            clipped,
            mixed,
            self.lam,
            self.measuring.shown,
            self.measuring.images,
        )
        for key, value in self.findings.figures(PREFIX).items():
            # All ranks hold the same figure already; the maximum of equal numbers keeps it to the last bit.
            pl_module.log(key, value, sync_dist=True, reduce_fx="max")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.findings is None or not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for name, picture in picture_grids(self.findings).items():
                    logger.experiment.add_image(f"{PREFIX}/{name}", picture, trainer.global_step)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.networks, self.measuring = {}, None

    def report_sections(self, trainer: Trainer, pl_module: LightningModule) -> list[Section]:
        """The transfer matrix, how the rates rose over the passes, and what the perturbations look like."""
        return [universal_section(self.findings, trainer)] if self.findings is not None else []

    def _check(self, names: Sequence[str]) -> None:
        for option, value in {"images": self.images, "samples": self.samples}.items():
            if value < 0:
                raise ValueError(f"UniversalPerturbation: {option}={value} must be 0 or more")
        if strange := set(self.together) - set(names):
            raise ValueError(
                f"UniversalPerturbation: together names {', '.join(sorted(strange))}, but the networks are "
                f"{', '.join(names)}"
            )
        for each in self.plans:
            each.attack.schedule.check(len(each.networks))
        crafted = [each.name for each in self.plans]
        if len(set(crafted) | set(self.files)) < len(crafted) + len(self.files):
            raise ValueError(
                f"UniversalPerturbation: perturbations {', '.join([*crafted, *self.files])} share a name: name each "
                "schedule once, and files otherwise than networks and schedules"
            )
        if not crafted and not self.files:
            raise ValueError("UniversalPerturbation: schedule is empty and there are no files: give one of both")
        if self.scan and not (len(self.together) > 1 and set(self.together[:2]) <= set(crafted)):
            raise ValueError(
                "UniversalPerturbation: scan=True lies between the perturbations of two networks: give a second "
                "network, and Single as one schedule"
            )

    def _craft(self, trainer: Trainer, pl_module: LightningModule, images: Tensor) -> None:
        """Craft all perturbations, and store them in the run folder."""
        self.crafts = craft(trainer, self.plans, self._all(pl_module), images)
        if trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False):
            for each in self.plans:
                self._path(each).parent.mkdir(parents=True, exist_ok=True)
                save_perturbation(self.crafts[each.name].perturbation, self._path(each))

    def _path(self, each: Plan) -> Path:
        return self.folder / "perturbations" / f"{each.name}.npz"

    def _all(self, pl_module: LightningModule) -> dict[str, nn.Module]:
        return {self.name: pl_module, **self.networks}

    def _best_lam(
        self, trainer: Trainer, pl_module: LightningModule, images: Tensor, v_f: Tensor, v_g: Tensor
    ) -> float:
        """The λ that fools both networks most on the images of the crafting, as rank 0 sees it."""
        networks = [self._all(pl_module)[name] for name in self.together[:2]]
        with trainer.precision_plugin.forward_context():
            rates = scan(networks, images, v_f, v_g).mean(1)
        return LAMS[int(trainer.strategy.broadcast(int(rates.argmax())))]
