"""Born-again networks: a network teaches its successor."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from callbacks.alternating_pruning import AlternatingPruning
from callbacks.initial_weights import redraw, state_on_cpu
from callbacks.kept_weights import keep_weights, recall_weights
from callbacks.loss_callback import classifier
from callbacks.sections import Cell, Section, Table
from callbacks.teaching import Teaching, frozen
from callbacks.weights_in_step import weights_in_step
from criteria import Readout

MONITOR = "val/acc"


class BornAgain(Teaching):
    """Trains several generations of a network, each anew and, from the second on, with the one before as its teacher.

    Furlanello et al. 2018, "Born-Again Neural Networks", arXiv 1805.04770, section 3. Each generation is a whole
    training of ``trainer.max_epochs`` epochs with an optimiser and a schedule of its own. A student starts from another
    draw of the initial weights: those of the first generation, shuffled within each tensor. Its loss is
    (1 - a) · loss + a · T² KL(teacher ‖ student), with class probabilities softened by T; with the defaults, as in the
    paper, labels and teacher count equally. The best checkpoint is that of all generations; the one that teaches is in
    no checkpoint, but in a file of ``generations/`` in the run folder, where a resumed run looks for it.

    Args:
        generations: how many networks are trained one after the other; 1 is plain training.
        temperature: T, above 0; 1 takes the teacher's probabilities as they are.
        weight: a, from 0 to 1.
    """

    def __init__(self, generations: int = 3, temperature: float = 1.0, weight: float = 0.5) -> None:
        super().__init__(temperature, weight)
        if generations < 1:
            raise ValueError(f"BornAgain: generations={generations} must be 1 or more")
        self.generations = generations
        self.epochs = 0  # of a generation
        self.generation = 0
        self.initial: dict[str, Tensor] = {}  # the module's state when training began
        self.files: dict[str, str] = {}  # with the initial state and, from the second generation on, the teacher's
        self.accuracies: dict[int, list[float]] = {}  # after each validation, by generation
        self._length: tuple[int, int] | None = None  # the trainer's own epochs and steps

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        refuse(trainer)
        if isinstance(readout := classifier(pl_module).readout, Readout):
            raise ValueError(
                f"BornAgain: a teacher's class scores must stay as they are, but {type(readout).__name__} reads them "
                "off training images that are looked at anew in every validation: train with cross-entropy"
            )
        self.epochs, self.generation = trainer.max_epochs or 0, 0
        self.initial, self.files, self.accuracies = {}, {}, {}
        loop = trainer.fit_loop
        self._length = self.epochs, loop.epoch_loop.max_steps
        loop.max_epochs = self.generations * self.epochs
        if loop.epoch_loop.max_steps > 0:  # of fast_dev_run
            loop.epoch_loop.max_steps *= self.generations
        # In front of all that look at learning rates when an epoch starts.
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        callbacks.insert(0, callbacks.pop(callbacks.index(self)))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._check_length()
        refuse_longer_cycles(trainer, self.epochs, self.generations)
        if self.files:  # the run is resumed
            self._recall(trainer, pl_module)
        else:
            self.initial = state_on_cpu(pl_module)
            self.files = {"initial": keep_weights(trainer, "initial", self.initial)}

    # One of these hooks runs before the first step of a generation. Lightning leaves out the first where it resumes at
    # the very last step of an epoch, and by the second the learning rate has been noted.

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin_if_due(trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._begin_if_due(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            accuracy = float(trainer.callback_metrics.get(MONITOR, math.nan))
            self.accuracies.setdefault(self.generation, []).append(accuracy)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        super().on_exception(trainer, pl_module, exception)
        self._give_back_length(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().teardown(trainer, pl_module, stage)
        self._give_back_length(trainer)

    def report_sections(self, trainer: Trainer, pl_module: LightningModule) -> list[Section]:
        """How accurate each generation became."""
        if trainer.state.fn != "fit" or not self.accuracies:
            return []
        rows: list[list[Cell]] = [
            [number + 1, f"labels and generation {number}" if number else "labels", known[-1], max(known)]
            for number, known in sorted(self.accuracies.items())
        ]
        caption = f"{self.epochs} epochs each; {MONITOR} after the last one and the highest."
        header = ["generation", "learned from", "at its end", "highest"]
        return [Section("Generations", [Table(header, rows, caption)], order=15)]

    def state_dict(self) -> dict[str, Any]:
        names = ("generation", "epochs", "files", "accuracies")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)

    def _check_length(self) -> None:
        length = self._length[0] if self._length else self.epochs
        if self.epochs != length:
            raise ValueError(
                f"each generation of the resumed run has {self.epochs} epochs, but trainer.max_epochs={length}: set it "
                f"to {self.epochs}; for more, raise BornAgain's generations"
            )

    def _begin_if_due(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch // self.epochs > self.generation:
            self._begin(trainer, pl_module)

    def _begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # From one rank, as batch statistics differ between them.
        taught = trainer.strategy.broadcast(state_on_cpu(scorer(pl_module)))
        self._appoint(pl_module, taught)
        self.generation = trainer.current_epoch // self.epochs
        self.files["teacher"] = keep_weights(trainer, f"generation-{self.generation}", taught)
        with weights_in_step(trainer, pl_module):
            pl_module.load_state_dict(redraw(pl_module, self.initial, self.generation))
        trainer.strategy.setup_optimizers(trainer)
        known = self.accuracies.get(self.generation - 1, [math.nan])
        rank_zero_info(
            f"BornAgain: generation {self.generation + 1} of {self.generations} begins; the one before, which teaches "
            f"it, ended with {MONITOR} {known[-1]:.4f}"
        )

    def _recall(self, trainer: Trainer, pl_module: LightningModule) -> None:
        states = {name: recall_weights(trainer, file) for name, file in self.files.items()}
        self.initial = states["initial"]
        if "teacher" in states:
            self._appoint(pl_module, states["teacher"])

    def _appoint(self, pl_module: LightningModule, taught: Mapping[str, Tensor]) -> None:
        """Let a network of these weights teach."""
        teacher = deepcopy(scorer(pl_module))
        teacher.load_state_dict(taught)
        self.teacher = frozen(teacher)

    def _give_back_length(self, trainer: Trainer) -> None:
        if self._length is not None:
            trainer.fit_loop.max_epochs, trainer.fit_loop.epoch_loop.max_steps = self._length
            self._length = None


def refuse(trainer: Trainer) -> None:
    """What BornAgain can't be combined with."""
    trial = getattr(trainer, "fast_dev_run", False)  # an attribute that Lightning does not declare
    if (trainer.max_epochs or 0) < 1 or (trainer.max_steps > 0 and not trial):
        raise ValueError(
            "BornAgain counts a generation in epochs: set trainer.max_epochs to its length, and no trainer.max_steps"
        )
    if any(isinstance(callback, EarlyStopping) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        raise ValueError(
            "EarlyStopping would end the training within a generation, and BornAgain would train no further one: "
            "leave one of them out"
        )


def refuse_longer_cycles(trainer: Trainer, epochs: int, generations: int) -> None:
    """Cycles of pruning must end within the first generation: the next one has an optimiser without their masks."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, AlternatingPruning) and not getattr(trainer, "fast_dev_run", False):
            own = epochs if callback.unit == "epoch" else trainer.estimated_stepping_batches / generations
            if callback.phases.length > own:
                raise ValueError(
                    f"the cycles of {type(callback).__name__} take {callback.phases.length} {callback.unit}s, but a "
                    f"generation of BornAgain has {own:.0f}: shorten them, so that they end within the first generation"
                )


def scorer(pl_module: LightningModule) -> nn.Module:
    """What makes class scores of images; its parts, and their names, are the module's own."""
    student = classifier(pl_module)
    return nn.Sequential(OrderedDict(network=student.network, readout=student.readout))
