"""Everything that judges a network during training, put to rest for a while."""

from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

NEVER = 2**31  # more epochs or steps than any training has
INHERITED = object()  # an attribute that an object has from its class


class Judges:
    """Validation, checkpoints that monitor a metric, early stopping, and schedulers that wait for a plateau."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []  # object, its own attribute, value that returns

    def pause(self, trainer: Trainer) -> None:
        """No validation, no best checkpoint, no early stop, no reduced learning rate."""
        self._set(trainer, "limit_val_batches", 0)
        for checkpoint in trainer.checkpoint_callbacks:
            if isinstance(checkpoint, ModelCheckpoint) and checkpoint.monitor is not None:
                self._set(checkpoint, "save_top_k", 0)
        for stopping in trainer.early_stopping_callbacks:
            # Not its patience, which checkpoints keep: a run resumed from here would never stop.
            self._set(stopping, "_should_skip_check", lambda trainer: True)
        for schedule in trainer.lr_scheduler_configs:
            if schedule.reduce_on_plateau:
                self._set(schedule, "frequency", NEVER)

    def resume(self) -> None:
        """As before the pause; nothing if there was none."""
        for owner, name, value in self._before:
            if value is INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
        self._before = []

    def start_anew(self, trainer: Trainer) -> None:
        """Early stopping has counted the old figures all along: count from zero."""
        for stopping in trainer.early_stopping_callbacks:
            if isinstance(stopping, EarlyStopping):
                stopping.wait_count = 0

    def _set(self, owner: Any, name: str, value: Any) -> None:
        self._before.append((owner, name, vars(owner).get(name, INHERITED)))
        setattr(owner, name, value)
