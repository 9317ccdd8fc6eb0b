"""The report of a run."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from callbacks.reporting.environment import describe_environment
from callbacks.reporting.history import History, last_values, learning_rates, new_scalars, note, scalars
from callbacks.reporting.own_sections import (
    banner,
    configuration_section,
    curves_section,
    environment_section,
    headline,
    results_section,
)
from callbacks.reporting.page import render_page
from callbacks.reporting.run_folder import RunFolder, StoredSection, fingerprint, finite
from callbacks.sections import Card, Reporting, Section, Text


class Report(Callback):
    """Writes ``report.html`` and ``metrics.json`` into the run folder at the end of fit, validate and test.

    The report is one file that needs no server and nothing from elsewhere: headline numbers, curves, every metric, the
    sections of other callbacks (see ``callbacks.sections.Reporting``), the configuration, versions, commit, hardware.
    A later command in the same run folder adds to it, and results for other weights replace the older ones.

    Args:
        title: heading of the report; the run's name and version by default.
    """

    def __init__(self, title: str | None = None) -> None:
        self.title = title
        self.folder: RunFolder | None = None
        self.history: History = {}
        self.earlier_seconds = 0.0  # of the run that this one resumes
        self.started = 0.0
        self.training = False
        self.ended_epoch: int | None = None  # an epoch that has ended and whose metrics are not noted yet
        self.before_epoch: dict[str, Tensor] = {}
        self.before_validation: dict[str, Tensor] = {}
        self.images = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        folder = trainer.log_dir  # asked here, where all ranks come by: the answer is broadcast
        local = folder is not None and "://" not in folder
        trial = getattr(trainer, "fast_dev_run", False)  # an attribute that Lightning does not declare
        self.folder = RunFolder(folder) if folder is not None and local and not trial else None
        self.started, self.training, self.images = time.monotonic(), False, 0
        if stage == "fit":
            self.history, self.earlier_seconds, self.ended_epoch = {}, 0.0, None

    # What is noted during training. Callbacks hear of an epoch's end before the module logs its figures, so an epoch
    # is closed at the first occasion after that: a checkpoint, the next epoch or the end of training.

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.training, self.before_epoch = True, {}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close_epoch(trainer)
        self.before_epoch = dict(trainer.callback_metrics)
        note(self.history, trainer.current_epoch, learning_rates(trainer))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.before_validation = dict(trainer.callback_metrics)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            note(self.history, trainer.current_epoch, new_scalars(trainer.callback_metrics, self.before_validation))
        elif trainer.state.fn == TrainerFn.VALIDATING:
            self._publish(trainer, pl_module, "validate", scalars(trainer.callback_metrics))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.ended_epoch = trainer.current_epoch

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close_epoch(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._close_epoch(trainer)
        history = {name: [list(point) for point in series] for name, series in self.history.items()}
        checkpoint["report"] = {"history": history, "seconds": self._seconds()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        state = checkpoint.get("report")
        if state is not None and trainer.state.fn == TrainerFn.FITTING:
            self.history, self.earlier_seconds = state["history"], state["seconds"]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.training = False
        self._publish(trainer, pl_module, "fit", last_values(self.history))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if not self.training:
            return
        status = f"interrupted by {type(exception).__name__} in epoch {trainer.current_epoch + 1}"
        try:
            self._publish(trainer, pl_module, "fit", last_values(self.history), status)
        except Exception as error:  # the exception that stopped training is the one to be seen
            rank_zero_warn(f"no report of the interrupted run: {error}")

    # Testing.

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        # With several loaders the number of images behind a rate is not known: no interval is shown.
        known = dataloader_idx == 0 and isinstance(batch, list | tuple) and isinstance(batch[0], Tensor)
        self.images = self.images + len(batch[0]) if known and self.images >= 0 else -1

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        counts = torch.tensor([self.images], device=trainer.strategy.root_device)
        self.images = int(trainer.strategy.reduce(counts, reduce_op="sum"))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._publish(trainer, pl_module, "test", scalars(trainer.callback_metrics))

    def _close_epoch(self, trainer: Trainer) -> None:
        if self.ended_epoch is not None:
            note(self.history, self.ended_epoch, new_scalars(trainer.callback_metrics, self.before_epoch))
            self.ended_epoch = None

    def _seconds(self) -> float:
        return self.earlier_seconds + time.monotonic() - self.started

    def _publish(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        stage: str,
        results: dict[str, float],
        status: str = "finished",
    ) -> None:
        """Bring the files of the run folder up to date, on global rank zero."""
        if self.folder is None or not trainer.is_global_zero:
            return
        about = self._describe(trainer, pl_module, stage)
        record = self.folder.read_record()
        previous = record.setdefault("environment", {}).get(stage, {})
        if previous.get("weights") == about["weights"]:
            results = {**record.get(stage, {}), **results}
        else:
            self.folder.drop_sections(stage)
        self.folder.write_sections(stage, plugin_sections(trainer, pl_module))
        record["environment"][stage] = about
        record.setdefault("status", {})[stage] = status
        record[stage] = results
        if stage == "fit":
            record |= {"best": describe_best(trainer, self.folder), "history": self.history}
        record = finite(record)
        self.folder.write_record(record)
        self.folder.write_page(compose(self.folder, self.title or run_name(trainer, self.folder), record))
        if stage != "fit":
            rank_zero_info(summary(cards_of(self.folder, record)))
        rank_zero_info(f"Report: {self.folder.path / 'report.html'}")

    def _describe(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> dict[str, Any]:
        fit = stage == "fit"
        folder = self.folder
        about: dict[str, Any] = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self._seconds() if fit else time.monotonic() - self.started, 2),
            "weights": fingerprint(pl_module.state_dict()),
        }
        if fit:
            about["epochs"] = trainer.current_epoch  # those that are complete
        elif folder is not None:
            about |= {"checkpoint": folder.label(trainer.ckpt_path), "images": self.images if self.images > 0 else None}
        return about | describe_environment(trainer, pl_module)


def compose(folder: RunFolder, title: str, record: Mapping[str, Any]) -> str:
    """The page of a run folder whose record this is."""
    stored = folder.read_sections()
    own = [
        results_section(record),
        curves_section(record),
        configuration_section(folder.read_config()),
        environment_section(record),
    ]
    sections = [*stored, *(StoredSection.render("", section) for section in own if section is not None)]
    sections.sort(key=lambda section: section.order)
    cards = cards_of(folder, record)
    about = next(iter(reversed(record["environment"].values())))
    subject = about["subject"]
    subtitle = subject["network"] + (f" on {subject['data']}" if subject["data"] else "")
    footer = f"Written on {about['date'].replace('T', ' ').replace('+00:00', ' UTC')}"
    return render_page(title, subtitle, banner(record), cards, sections, footer)


def cards_of(folder: RunFolder, record: Mapping[str, Any]) -> list[Card]:
    """The headline numbers: the report's own, and those of the plug-ins' sections."""
    stored = (card for section in folder.read_sections() for card in section.headline())
    return list(dict.fromkeys([*headline(record), *stored]))


def summary(cards: Sequence[Card]) -> str:
    """Headline numbers as lines of text, one below the other."""
    width = max((len(card.label) for card in cards), default=0)
    return "\n".join(f"{card.label:{width}}  {card.value}  {card.note}".rstrip() for card in cards)


def plugin_sections(trainer: Trainer, pl_module: LightningModule) -> Iterator[Section]:
    """What the other callbacks add; one that fails is named in the report and spoils nothing else."""
    for callback in getattr(trainer, "callbacks", ()):  # an attribute that Lightning does not declare
        if not isinstance(callback, Reporting):
            continue
        name = type(callback).__name__
        try:
            yield from callback.report_sections(trainer, pl_module)
        except Exception as error:
            rank_zero_warn(f"{name} could not add to the report: {type(error).__name__}: {error}")
            yield Section(name, [Text(f"This section could not be made ({type(error).__name__}); see the log.")])


def run_name(trainer: Trainer, folder: RunFolder) -> str:
    """The logger's name and version; the run folder's name without a logger."""
    logger = trainer.logger
    version = f"version_{logger.version}" if logger and isinstance(logger.version, int) else logger and logger.version
    parts = [str(part) for part in (logger and logger.name, version) if part not in (None, "")]
    return " / ".join(parts) or folder.path.resolve().name


def describe_best(trainer: Trainer, folder: RunFolder) -> dict[str, Any] | None:
    """Path, metric and score of the best checkpoint; None where no metric decides."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_path:
            score = callback.best_model_score
            path = folder.label(callback.best_model_path)
            return {"path": path, "monitor": callback.monitor, "score": None if score is None else float(score)}
    return None
