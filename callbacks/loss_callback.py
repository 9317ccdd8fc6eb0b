"""What callbacks share that take part in the training loss."""

from abc import ABC, abstractmethod
from typing import Protocol, cast

from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from criteria import LossTerm


class WithLossTerms(Protocol):
    """The part of the Classifier that they rely on."""

    network: nn.Module
    readout: nn.Module
    loss_terms: list[LossTerm]


class LossCallback(Callback, ABC):
    """Takes part in what training minimises: its ``term`` is one of the classifier's while training runs.

    It stands there from the start of training on, not from setup, where averages of the weights copy the module with
    all that it holds.
    """

    @abstractmethod
    def term(self, loss: Tensor, images: Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
        """See ``criteria.LossTerm``."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and not hasattr(pl_module, "loss_terms"):
            name = type(self).__name__
            raise ValueError(
                f"{name} takes part in the loss of a Classifier, but the model is a {type(pl_module).__name__}: train "
                f"a Classifier or leave {name} out"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        classifier(pl_module).loss_terms.append(self.term)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._withdraw(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._withdraw(pl_module)

    def _withdraw(self, pl_module: LightningModule) -> None:
        terms = getattr(pl_module, "loss_terms", [])
        if self.term in terms:
            terms.remove(self.term)


def classifier(pl_module: LightningModule) -> WithLossTerms:
    """The model by the names that a Classifier has; ``LossCallback.setup`` has refused others."""
    return cast(WithLossTerms, pl_module)
