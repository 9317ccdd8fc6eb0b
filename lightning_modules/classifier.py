"""What is trained: a network, a criterion, a readout and an optimiser (contract 3 of the design)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from criteria import LossTerm, Readout
from lightning_modules.batch_checks import check_batch, check_label_range, explain_failure
from lightning_modules.random_state import collect_random_state, restore_random_state
from lightning_modules.training_outputs import outputs_of_training_images
from metrics import ClassificationTally
from networks import misfits


class Classifier(LightningModule):
    """Trains a network on a criterion; whatever the criterion, ``forward`` gives class scores (N, num_classes).

    Logs ``loss``, ``acc`` and ``top5`` under ``train/``, ``val/`` and ``test/``, each once per epoch. The loss is the
    criterion's own. A plug-in that changes what training minimises adds a function to the list ``loss_terms`` at the
    start of training, see ``criteria.LossTerm``; what comes out is seen in ``train/loss_step``.

    Args:
        network: from images (N, C, H, W) in [0, 1] to class scores (N, num_classes) or embeddings (N, d).
        criterion: from the network's outputs and labels (N,) to the mean loss; cross-entropy by default. For label
            smoothing, give ``torch.nn.CrossEntropyLoss`` its ``label_smoothing``.
        readout: from the network's outputs to class scores; None takes the criterion's own, where it has one, and else
            the outputs. One that remembers training images (``criteria.Readout``) is refreshed at the start of every
            evaluation; ``train/acc`` then compares each image with the others of its batch.
        optimizer: of the parameters that require gradients; SGD with learning rate 0.1 and momentum 0.9 by default.
        lr_scheduler: of the optimiser; None keeps the learning rate.
        schedule_by_step: advance the scheduler after every step instead of every epoch.
    """

    def __init__(
        self,
        network: nn.Module,
        criterion: nn.Module | None = None,
        readout: nn.Module | None = None,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
        schedule_by_step: bool = False,
    ) -> None:
        super().__init__()
        # The objects are rebuilt from config.yaml; a checkpoint holds plain data only.
        self.save_hyperparameters("schedule_by_step")
        self.network = network
        self.criterion = criterion or nn.CrossEntropyLoss()
        self.readout = readout or getattr(self.criterion, "make_readout", nn.Identity)()
        if isinstance(self.readout, Readout):
            self.readout.match(self.criterion)
        self.optimizer = optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9))
        self.lr_scheduler = lr_scheduler
        self.schedule_by_step = schedule_by_step
        self.train_tally, self.val_tally, self.test_tally = (ClassificationTally() for _ in range(3))
        self.random_state: dict[str, Tensor] | None = None
        self.loss_terms: list[LossTerm] = []
        self.undefended: tuple[nn.Module, ...] = ()  # the network, while a defence under test stands in its place
        self.seen: dict[int, tuple[Tensor, Tensor]] = {}  # outputs and labels of training images, in one evaluation

    def __setattr__(self, name: str, value: Any) -> None:
        """Store the hook's name, which Lightning notes some forty times a step, without a module's bookkeeping."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (N, num_classes) of images (N, C, H, W) in [0, 1]."""
        scores: Tensor = self.readout(self.network(images))
        return scores

    def training_outputs(self, images: int = 0) -> tuple[Tensor, Tensor]:
        """Outputs (n, d) and labels (n,) of un-augmented training images, computed once per evaluation, on all ranks.

        They belong to what was trained: a defence under test does not change them.

        Args:
            images: so many; 0 takes all.
        """
        if images not in self.seen:
            (network,) = self.undefended or (self.network,)
            self.seen[images] = outputs_of_training_images(self.trainer, network, images)
        return self.seen[images]

    def configure_optimizers(self) -> Any:
        """One optimiser, and its scheduler where one is given."""
        optimizer = self.optimizer(parameter for parameter in self.parameters() if parameter.requires_grad)
        if self.lr_scheduler is None:
            return optimizer
        scheduler = self.lr_scheduler(optimizer)
        interval = "step" if self.schedule_by_step else "epoch"
        schedule = {"scheduler": scheduler, "interval": interval, "monitor": getattr(scheduler, "monitor", "val/loss")}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """What is minimised: the loss of a batch, and what the loss terms make of it."""
        loss, _ = self._count(self.train_tally, batch, batch_idx, self.loss_terms)
        if self._is_log_step():
            self.log("train/loss_step", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Count a batch; its outputs (N, d) and scores (N, num_classes) spare callbacks a second forward pass."""
        return self._count(self.val_tally, batch, batch_idx)[1]

    def test_step(self, batch: list[Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Count a batch; its outputs (N, d) and scores (N, num_classes) spare callbacks a second forward pass."""
        return self._count(self.test_tally, batch, batch_idx)[1]

    def predict_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Class probabilities (N, num_classes)."""
        probabilities: Tensor = self(batch[0]).softmax(1)
        return probabilities

    def on_train_start(self) -> None:
        """Have training images to compare with; continue the random numbers of the run that is resumed."""
        if isinstance(self.readout, Readout):
            if self.readout.memory:  # of a resumed run
                self.readout.to(self.device)
            else:
                self._refresh_readout()
        if self.random_state is not None:
            restore_random_state(self.trainer, self.random_state)
            self.random_state = None

    def on_train_epoch_start(self) -> None:
        """Count from zero; this hook does not run where an interrupted epoch is continued."""
        self.train_tally.reset()

    def on_train_epoch_end(self) -> None:
        """Log the epoch's training figures."""
        self._log_tally("train", self.train_tally)

    def on_validation_epoch_start(self) -> None:
        """Count from zero, with training images remembered as the network sees them now."""
        self.val_tally.reset()
        self._refresh_readout()

    def on_validation_epoch_end(self) -> None:
        """Log the validation figures."""
        self._log_tally("val", self.val_tally)
        if isinstance(self.readout, Readout):
            self.readout.consulted = False
        self.seen = {}

    def on_test_start(self) -> None:
        """Remember training images as the network sees them now: callbacks may attack it from the epoch's start."""
        self._refresh_readout()

    def on_test_epoch_start(self) -> None:
        """Count from zero."""
        self.test_tally.reset()

    def on_test_epoch_end(self) -> None:
        """Log the test figures."""
        self._log_tally("test", self.test_tally)
        self.seen = {}

    def on_predict_epoch_start(self) -> None:
        """Remember training images as the network sees them now."""
        self._refresh_readout()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what makes a resumed run exact: random states, and the counts of an unfinished epoch over all ranks."""
        if self._trainer is None:
            return
        counts = self.trainer.strategy.reduce(self.train_tally.counts.clone(), reduce_op="sum")
        if self.trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            counts = torch.zeros_like(counts)  # the epoch is over; Lightning resumes behind its end
        checkpoint["classifier"] = {"counts": counts.cpu(), "random_state": collect_random_state(self.trainer)}
        if isinstance(self.readout, Readout) and self.readout.consulted:  # by what attacks training images
            memory = {name: tensor.cpu() for name, tensor in self.readout.memory.items()}
            checkpoint["classifier"]["readout"] = {"num_classes": self.readout.num_classes, "memory": memory}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another architecture; take the counts over, on rank 0 alone, and keep the random states."""
        if problems := misfits(self.state_dict(), checkpoint["state_dict"]):
            raise ValueError(f"the checkpoint does not fit this model: weights {problems}")
        state = checkpoint.get("classifier")
        if state is None or self._trainer is None:
            return
        self.random_state = state["random_state"]
        if self.trainer.is_global_zero:
            self.train_tally.counts.copy_(state["counts"])
        if isinstance(self.readout, Readout) and "readout" in state:
            self.readout.num_classes, self.readout.memory = state["readout"]["num_classes"], state["readout"]["memory"]
            self.readout.consulted = True

    def _refresh_readout(self) -> None:
        """Let the readout remember training images; few of them while training is going on."""
        self.seen = {}
        if isinstance(self.readout, Readout):
            few = self.readout.images_in_fit if self.trainer.state.fn == TrainerFn.FITTING else 0
            outputs, labels = self.training_outputs(few)
            classes = getattr(self.trainer.datamodule, "num_classes", int(labels.max()) + 1)  # type: ignore[attr-defined]
            with torch.inference_mode(False):
                self.readout.remember(outputs, labels, classes)

    def _count(
        self, tally: ClassificationTally, batch: list[Tensor], batch_idx: int, terms: Sequence[LossTerm] = ()
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if batch_idx == 0:
            check_batch(batch)
        images, labels = batch
        outputs = self.network(images)
        with torch.no_grad():
            # Away from the CPU a look at a value would make the device wait.
            scores = self._scores(outputs, labels, look=batch_idx == 0 or labels.is_cpu)
        own: Tensor = self.criterion(outputs, labels)
        loss = own
        for term in terms:
            loss = term(loss, images, outputs, labels)
        if (loss.is_cpu or (self.training and self._is_log_step())) and not math.isfinite(loss.mean().item()):
            raise explain_failure(batch, batch_idx)
        tally.update(own, scores, labels)
        return loss, {"outputs": outputs, "scores": scores}

    def _scores(self, outputs: Tensor, labels: Tensor, look: bool) -> Tensor:
        """Class scores (N, num_classes); in training, of a readout that remembers, by each image's own batch."""
        if not isinstance(self.readout, Readout):
            scores: Tensor = self.readout(outputs)
            if look:
                check_label_range(labels, scores.shape[1])
            return scores
        if look:
            check_label_range(labels, self.readout.num_classes)
        return self.readout.score_within(outputs, labels) if self.training else self.readout(outputs)

    def _log_tally(self, prefix: str, tally: ClassificationTally) -> None:
        figures = tally.compute()
        for name, value in figures.items():
            # All ranks hold the same figure already; the maximum of equal numbers keeps it to the last bit.
            self.log(f"{prefix}/{name}", value, prog_bar=name == "acc", sync_dist=True, reduce_fx="max")

    def _is_log_step(self) -> bool:
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return self.trainer.global_step % every == 0
