"""Progress for outputs that are no terminal."""

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar


class PlainProgress(ProgressBar):
    """Prints one plain line per epoch and per test, for logs of Slurm or nohup.

    A line has the elapsed time and the numbers that are logged with ``prog_bar=True``, those of single steps left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True
        self.started = 0.0
        self.pending: tuple[str, str] | None = None  # name of an ended epoch and its time, until its figures are logged

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print if this is the process that prints."""
        if self.enabled:
            print(*args, **{"flush": True, **kwargs})

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self.started, self.pending = time.monotonic(), None

    # The module logs an epoch's figures after the callbacks have heard of its end, so the line waits for the next hook.

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = trainer.max_epochs
        of = f"/{total}" if total is not None and total > 0 else ""
        self.pending = f"epoch {trainer.current_epoch + 1:>{len(of) - 1 if of else 0}}{of}", self._elapsed()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._print_pending(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._print_pending(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._print_line(trainer, "validate", self._elapsed())

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._print_line(trainer, "test", self._elapsed())

    def _print_pending(self, trainer: Trainer) -> None:
        if self.pending is not None:
            self._print_line(trainer, *self.pending)
            self.pending = None

    def _print_line(self, trainer: Trainer, name: str, elapsed: str) -> None:
        figures = trainer.progress_bar_metrics  # on all ranks: the trainer may have to reduce some
        shown = [f"{key} {write(value)}" for key, value in sorted(figures.items()) if not key.endswith("_step")]
        self.print("   ".join([name, elapsed, *shown]))

    def _elapsed(self) -> str:
        minutes, seconds = divmod(round(time.monotonic() - self.started), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def write(value: Any) -> str:
    """A number with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
