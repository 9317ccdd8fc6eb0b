"""What callbacks share that train a network in turns with and without a part of it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, get_args

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from callbacks.judges import Judges
from callbacks.phases import Phases
from callbacks.weights_in_step import weights_in_step
from pruning import Mask, clear_optimizer_state

Unit = Literal["epoch", "step"]


class AlternatingPruning(Callback, ABC):
    """Cycles of training the full network and a pruned one, and the full network to the end.

    What is pruned is exactly zero and stays so: it is set to zero after every step of the optimisers, which forget what
    they knew of it when it leaves and when it returns. Meanwhile nothing is validated and no checkpoint that monitors a
    metric is taken, unless ``validate_pruned``; early stopping waits and counts anew afterwards.

    All that decides is part of the checkpoint, so that a run can be resumed at any step.

    Args:
        phases: their lengths.
        unit: of these lengths.
        validate_pruned: whether the pruned network is validated, and may become the best one.
    """

    def __init__(self, phases: Phases, unit: Unit, validate_pruned: bool) -> None:
        if unit not in get_args(Unit):
            raise ValueError(f"{type(self).__name__}: unit={unit!r} must be epoch or step")
        self.phases, self.unit, self.validate_pruned = phases, unit, validate_pruned
        self.keep: dict[str, Tensor] = {}  # by a parameter's name while pruned: what stays, bool
        self.drops = 0  # how often something was pruned
        self._begun = False
        self._masks: list[RemovableHandle] = []  # on the optimisers
        self._judges = Judges()

    @abstractmethod
    def leave(self, trainer: Trainer, pl_module: LightningModule) -> Mapping[str, Tensor]:
        """Prune, and say what stays: by a parameter's name, bool, broadcastable to it."""

    def come_back(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give what was pruned other values than zero."""

    def begin(self, trainer: Trainer, pl_module: LightningModule, images: Tensor) -> None:
        """Do what has to be done once in a process, before its first step, given images (N, C, H, W)."""

    def position(self, trainer: Trainer) -> int:
        """How many epochs or steps came before."""
        return trainer.current_epoch if self.unit == "epoch" else trainer.global_step

    @property
    def pruned(self) -> bool:
        """Whether a part of the network is gone."""
        return bool(self.keep)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.keep, self.drops = {}, 0  # of an earlier training; a checkpoint is read after this
        name = type(self).__name__
        others = [one for one in callbacks_of(trainer) if isinstance(one, AlternatingPruning) and one is not self]
        if others:
            raise ValueError(
                f"{name} and {type(others[0]).__name__} both prune the network and bring it back: remove one of them"
            )
        network = network_of(pl_module)
        if not any(isinstance(module, nn.Conv2d) for module in network.modules()):
            raise ValueError(f"{name} prunes convolutions, but {type(network).__name__} has none: remove {name}")
        if self.unit == "epoch":
            self._check_length(trainer, trainer.max_epochs, "max_epochs")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.unit == "step":
            steps = trainer.estimated_stepping_batches
            self._check_length(trainer, steps, "max_steps" if steps == trainer.max_steps else "max_epochs")
        elif trainer.max_steps > 0:
            self._check_length(trainer, trainer.max_steps / steps_of_epoch(trainer), "max_steps")
        self._begun = False
        if self.pruned:  # the run is resumed
            self._hold(trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # No earlier hook runs for certain where a run is resumed at the last step of an epoch.
        if not self._begun:
            self.begin(trainer, pl_module, batch[0])
            self._begun = True
        wanted = self.phases.at(self.position(trainer)).pruned
        if wanted != self.pruned:
            with weights_in_step(trainer, pl_module):
                (self._leave if wanted else self._come_back)(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._release()
        if self.pruned:
            rank_zero_warn(f"training ended while {type(self).__name__} had pruned the network: resume it to go on")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._release()

    def state_dict(self) -> dict[str, Any]:
        return {"keep": self.keep, "drops": self.drops}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.keep, self.drops = state_dict["keep"], state_dict["drops"]

    def _leave(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.keep = dict(self.leave(trainer, pl_module))
        self.drops += 1
        self._forget(trainer, pl_module)
        self._hold(trainer, pl_module)

    def _come_back(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._release()
        self._judges.start_anew(trainer)
        self._forget(trainer, pl_module)
        self.come_back(trainer, pl_module)
        self.keep = {}

    def _forget(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for optimizer in trainer.optimizers:
            clear_optimizer_state(network_of(pl_module), optimizer, self.keep)

    def _hold(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep zero what is zero, and let nobody judge the network meanwhile."""
        mask = Mask(network_of(pl_module), self.keep)
        for optimizer in trainer.optimizers:
            self._masks.append(optimizer.register_step_post_hook(lambda *_: mask.apply()))
        if not self.validate_pruned:
            self._judges.pause(trainer)

    def _release(self) -> None:
        for handle in self._masks:
            handle.remove()
        self._masks = []
        self._judges.resume()

    def _check_length(self, trainer: Trainer, total: float | None, option: str) -> None:
        trial = getattr(trainer, "fast_dev_run", False)  # an attribute that Lightning does not declare
        endless = total is None or total < 0
        if endless or trial or not self.phases.cycles or self.phases.length < float(total or 0):
            return
        raise ValueError(
            f"{type(self).__name__} needs more than {self.phases.length} {self.unit}s for its {self.phases.cycles} "
            f"cycles of {self.phases.full} + {self.phases.pruned}, so that the full network is trained at the end, but "
            f"the training has {math.floor(total or 0)}: raise trainer.{option} or shorten the phases"
        )


def steps_of_epoch(trainer: Trainer) -> int:
    """How many steps an epoch has; 1 where nobody knows, which is never too many."""
    batches = trainer.num_training_batches
    return math.ceil(batches / trainer.accumulate_grad_batches) if math.isfinite(batches) else 1


def network_of(pl_module: LightningModule) -> nn.Module:
    """What computes, without criterion and readout; of a module of another kind, the module itself."""
    network = getattr(pl_module, "network", pl_module)
    return network if isinstance(network, nn.Module) else pl_module


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """An attribute that Lightning does not declare."""
    found: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return found
