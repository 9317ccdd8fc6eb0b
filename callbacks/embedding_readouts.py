"""Several ways to read classes off embeddings, side by side."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from callbacks.embeddings import outputs_of_step, with_embeddings
from callbacks.sections import Card, Cell, Section, Table
from criteria import NearestNeighbors, Readout, SupportVectors
from metrics import ClassificationTally, wilson_interval


class EmbeddingReadouts(Callback):
    """Classifies the test images by several readouts of the same embeddings, and reports their accuracies.

    Bontonou et al. 2019, arXiv 1905.00301, table 1. Works with any Classifier; class scores of cross-entropy count as
    embeddings, too. The training images are passed through the network once for all readouts. Logged is the accuracy
    ``test/readout/<name>`` of each: ``1-NN``, ``10-NN`` and ``SVC`` by default.

    Args:
        readouts: the vote of one and of ten nearest neighbours, and support vectors, by default.
        images: so many training images are remembered; 0 takes all. Support vectors take minutes to learn from tens of
            thousands of images whose classes overlap.
    """

    def __init__(self, readouts: Sequence[Readout] | None = None, images: int = 0) -> None:
        if images < 0:
            raise ValueError(f"EmbeddingReadouts: images={images} must be 0 or more")
        default = [NearestNeighbors(1, "uniform"), NearestNeighbors(10, "uniform"), SupportVectors()]
        self.readouts = default if readouts is None else list(readouts)
        names = [readout.name for readout in self.readouts]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"EmbeddingReadouts: readouts={names} must hold at least one, and none twice")
        self.images = images
        self.tallies: list[ClassificationTally] = []
        self.rates: dict[str, float] = {}
        self.count = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.tallies, self.rates = [], {}
        if stage == "test":
            with_embeddings(pl_module, self)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if dataloader_idx > 0:
            return
        if not self.tallies:
            self._learn(trainer, pl_module)
        found, labels = outputs_of_step(outputs, self), batch[1]
        for readout, tally in zip(self.readouts, self.tallies, strict=True):
            scores = readout(found)
            tally.update(scores.new_zeros(()), scores, labels)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for readout, tally in zip(self.readouts, self.tallies):
            accuracy = tally.compute()["acc"]
            with tally.sync_context(should_sync=trainer.world_size > 1):
                self.count = int(tally.counts[3])
            self.rates[readout.name] = float(accuracy)
            # All ranks hold the same figure already; the maximum of equal numbers keeps it to the last bit.
            pl_module.log(f"test/readout/{readout.name}", accuracy, sync_dist=True, reduce_fx="max")
            readout.memory = {}

    def report_sections(self, trainer: Trainer, pl_module: LightningModule) -> list[Section]:
        """The accuracy of each readout."""
        if not self.rates:
            return []
        caption = "Accuracy on the test images by readout of the same embeddings."
        rows = [row(name, rate, self.count) for name, rate in self.rates.items()]
        best = max(self.rates, key=lambda name: self.rates[name])
        card = Card(f"Accuracy by {best}", f"{100 * self.rates[best]:.2f} %")
        table = Table(["readout", "accuracy", "error", "95 % interval of the accuracy"], rows, caption)
        return [Section("Readouts", [table], order=32, cards=[card])]

    def _learn(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = with_embeddings(pl_module, self)
        outputs, labels = model.training_outputs(self.images)
        classes = getattr(trainer.datamodule, "num_classes", int(labels.max()) + 1)  # type: ignore[attr-defined]
        for readout in self.readouts:
            readout.match(model.criterion)
            with torch.inference_mode(mode=False):
                readout.remember(outputs, labels, classes)
            self.tallies.append(ClassificationTally().to(pl_module.device))


def row(name: str, rate: float, count: int) -> list[Cell]:
    """One readout."""
    low, high = wilson_interval(rate, count)
    return [name, rate, 1 - rate, f"{low:.3f}\u00a0to\u00a0{high:.3f}"]
