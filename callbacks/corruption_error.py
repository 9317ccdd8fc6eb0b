"""How much corruptions of nature, cameras and files harm a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from callbacks.baseline_network import BaselineNetwork, counted_errors
from callbacks.chosen_images import ChosenImages
from callbacks.corruption_baselines import PREFIX, AlexNet, Baseline, EarlierRun, Errors, Trial
from callbacks.corruption_fingerprints import MODULUS, computed_recipe, fingerprint, placed_batches, stored_recipe
from callbacks.corruption_sections import Comparison, corruption_section, draw_errors
from callbacks.figures import to_pixels
from callbacks.sections import Section
from corruptions import (
    COMMON,
    SEVERITIES,
    CifarSeverities,
    Corruption,
    IceTexture,
    ImageNetSeverities,
    PictureFolder,
    Severities,
    StoredCorruption,
    corruption,
    stored_labels,
)
from metrics import CorruptionError as ErrorCounts


class CorruptionError(Callback):
    """Corrupts the test images in many ways and reports the errors, also beside a baseline's.

    The benchmark of Hendrycks & Dietterich (2019), arXiv:1903.12261, on the test images of this run. Logged under
    ``test/corruption/`` are the error ``<name>/<severity>`` of each corruption, ``clean``, ``mean_error``, and with a
    baseline ``mce`` and ``relative_mce`` in percent; a network beside itself has 100 and 100. Results depend neither on
    the batch size nor on the ranks. The report shows a heat map, tables and one image under every corruption.

    Args:
        corruptions: by name; the 15 common ones by default.
        severities: from 1 (mild) to 5 (strong).
        scale: the benchmark whose parameters are meant: CIFAR's by default; ImageNetSeverities for 224 pixels.
        baseline: another run (its folder or metrics.json) that was tested like this one; a checkpoint, or
            BaselineNetwork, for a network that is tested beside this one; or AlexNet for ImageNet.
        images: so many test images are taken, drawn once and for all; 0 takes all.
        seed: of noise and other random draws.
        frost: folder of frost pictures; computed ice by default.
        stored: folder of corrupted images, such as the published CIFAR-10-C, to be read instead of computed.
    """

    def __init__(
        self,
        corruptions: Sequence[str] | None = None,
        severities: Sequence[int] = SEVERITIES,
        scale: Severities | None = None,
        baseline: Baseline | str | None = None,
        images: int = 0,
        seed: int = 0,
        frost: str | None = None,
        stored: str | None = None,
    ) -> None:
        self.names = list(COMMON if corruptions is None else corruptions)
        self.severities = list(severities)
        choices: dict[str, list[Any]] = {"corruptions": self.names, "severities": self.severities}
        for option, chosen in choices.items():
            if not chosen or len(set(chosen)) < len(chosen):
                raise ValueError(f"CorruptionError: {option}={chosen} must name at least one, and none twice")
        if images < 0 or seed < 0:
            raise ValueError(f"CorruptionError: images={images} and seed={seed} must be 0 or more")
        if stored is not None and (scale is not None or frost is not None):
            raise ValueError(f"CorruptionError: stored={stored} holds finished images: leave out scale and frost")
        self.scale = scale or CifarSeverities()
        self.pictures = PictureFolder(Path(frost).expanduser()) if frost else IceTexture()
        self.stored = Path(stored).expanduser() if stored else None
        self.computed = [[corruption(n, s, self.scale, self.pictures) for s in self.severities] for n in self.names]
        self.baseline = baseline_of(baseline) if isinstance(baseline, str) else baseline
        self.images, self.seed = images, seed
        self.grid: Sequence[Sequence[Corruption]] = self.computed
        self.metric: ErrorCounts | None = None
        self.indices: list[Tensor] = []  # of this rank's test batches, on the CPU
        self.chosen: ChosenImages | None = None
        self.strip: Tensor | None = None  # the first image, clean and under each corruption
        self.trial: Trial | None = None
        self.theirs: Errors | None = None
        self.comparison: Comparison | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.metric = self.strip = self.trial = self.theirs = self.comparison = None
        if stage != "test":
            return
        if self.stored is not None:
            folder = self.stored
            self.grid = [[StoredCorruption(folder, n, s) for s in self.severities] for n in self.names]
        if isinstance(self.baseline, EarlierRun):
            self.baseline.read()
        for other in self.beside:
            other.put_beside(trainer, self.names, self.severities)
        self.metric = ErrorCounts(len(self.names), len(self.severities)).to(trainer.strategy.root_device)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # One look at the images before the long test: another baseline is refused now, not in the end.
        sums = torch.zeros(2, dtype=torch.long, device=trainer.strategy.root_device)  # images, fingerprint
        expected = None if self.stored is None else stored_labels(self.stored)
        self.indices = []
        self.chosen = ChosenImages(trainer, "CorruptionError", self.images)
        for indices, images, labels in placed_batches(trainer):
            self.indices.append(indices)
            chosen = self.chosen.among(indices)
            indices, images, labels = indices[chosen], images[chosen], labels[chosen]
            if len(labels):
                check_stored_labels(expected, labels.cpu(), indices, self.stored)
                sums += torch.stack([torch.tensor(len(labels)), fingerprint(images, labels, indices).cpu()]).to(sums)
        count, data = trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        files = stored_recipe(self.stored, self.names) if self.stored else {}
        recipe = 0 if self.stored else computed_recipe(self.scale, self.pictures, self.seed)
        imagenet = type(self.scale) is ImageNetSeverities
        self.trial = Trial(self.names, self.severities, count, data % MODULUS, recipe, imagenet, files)
        self.theirs = self.baseline.errors(self.trial) if self.baseline and not self.beside else None

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if dataloader_idx > 0 or self.metric is None or self.chosen is None:
            return
        chosen = self.chosen.among(self.indices[batch_idx])
        if not chosen.any():
            return
        indices = self.indices[batch_idx][chosen].to(batch[0].device)
        images, labels = batch[0][chosen], batch[1][chosen]
        if self.strip is None:
            self._show_first(images[:1], indices[:1])
        networks = [pl_module, *(other.network for other in self.beside)]
        with trainer.precision_plugin.forward_context():
            clean = self._guess_clean(pl_module, batch[0], outputs)[:, chosen]
            corrupted = [
                torch.stack([guesses(networks, each.apply(images, indices, self.seed)) for each in row])
                for row in self.grid
            ]
        counts = [self.metric, *(other.counts for other in self.beside)]
        for metric, plain, changed in zip(counts, clean, torch.stack(corrupted).unbind(2), strict=True):
            metric.update(plain, changed, labels)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.metric is None or self.trial is None:
            return
        for other in self.beside:
            self.theirs = other.errors(self.trial)
        ours = counted_errors(self.metric, self.trial)
        self.comparison = Comparison(self.trial, ours, self.theirs, repr(self.baseline))
        if self.comparison.undefined:
            rank_zero_warn(f"CorruptionError: {self.comparison.undefined}")
        for name, value in self.comparison.figures().items():
            # All ranks hold the same figure already; the maximum of equal numbers keeps it to the last bit.
            pl_module.log(f"{PREFIX}/{name}", value, sync_dist=True, reduce_fx="max")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.comparison is None or not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                pixels = to_pixels(draw_errors(self.comparison))
                logger.experiment.add_image("test/corruption", pixels, trainer.global_step, dataformats="HWC")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for other in self.beside:
            other.leave()

    @property
    def beside(self) -> list[BaselineNetwork]:
        """The baseline, where it is a network that is tested beside this one."""
        return [self.baseline] if isinstance(self.baseline, BaselineNetwork) else []

    def report_sections(self, trainer: Trainer, pl_module: LightningModule) -> list[Section]:
        """The errors of a test and what the corruptions look like."""
        return [corruption_section(self.comparison, self.strip)] if self.comparison else []

    def _guess_clean(self, pl_module: LightningModule, images: Tensor, outputs: Any) -> Tensor:
        """The class of each image (N, C, H, W) for the network, and for a baseline beside it, (networks, N)."""
        known = isinstance(outputs, Mapping) and "scores" in outputs
        scores = outputs["scores"] if known else pl_module(images)
        # The whole batch for all, since sums may differ in the last digits in a smaller one.
        others = [other.scores(images, scores.shape[1]) for other in self.beside]
        return torch.stack([each.argmax(1) for each in (scores, *others)])

    def _show_first(self, image: Tensor, index: Tensor) -> None:
        middle = len(self.severities) // 2
        self.strip = torch.cat([image, *(row[middle].apply(image, index, self.seed) for row in self.grid)]).cpu()


def baseline_of(path: str) -> Baseline:
    """What a word stands for: AlexNet's published errors, a checkpoint, or a run."""
    if path == "AlexNet":
        return AlexNet()
    return BaselineNetwork(path) if Path(path).suffix == ".ckpt" else EarlierRun(path)


def guesses(networks: Sequence[nn.Module], images: Tensor) -> Tensor:
    """The class of each image (N, C, H, W) for each network, (networks, N)."""
    return torch.stack([network(images).argmax(1) for network in networks])


def check_stored_labels(expected: Tensor | None, labels: Tensor, indices: Tensor, folder: Path | None) -> None:
    """Refuse corrupted images of another data set than the clean ones."""
    if expected is None:
        return
    if int(indices.max()) >= len(expected) or not expected[indices].equal(labels.long()):
        raise ValueError(
            f"CorruptionError: stored={folder} holds {len(expected)} images whose labels are not those of the test "
            "set: take the folder that was made of it"
        )
