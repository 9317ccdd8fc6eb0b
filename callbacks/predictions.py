"""What a test looks like: which classes are confused, and on which images."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from callbacks.figures import draw_confusion, to_pixels
from callbacks.reporting.pictures import tile, to_bytes
from callbacks.reporting.samples import Samples, describe, drop_right, judge, pad, rank_mistakes
from callbacks.sections import Block, Cell, Columns, Figure, Gallery, Section, Table, Text
from metrics import ConfusionCounts, wilson_interval

MATRIX_CLASSES = 100  # with more of them, a matrix cannot be read
TABLE_CLASSES = 30


class Predictions(Callback):
    """Counts a test's confusion matrix and keeps its first images and its most confident mistakes, for the report.

    Also shown in TensorBoard as ``test/predictions``, ``test/mistakes`` and ``test/confusion_matrix``. With several
    test loaders, the first one is counted.

    Args:
        samples: how many first images and how many mistakes are kept; 0 keeps none.
    """

    def __init__(self, samples: int = 16) -> None:
        if samples < 0:
            raise ValueError(f"Predictions: samples={samples} must be 0 or more")
        self.samples = samples
        self.confusion: ConfusionCounts | None = None
        self.first: Samples | None = None
        self.mistakes: Samples | None = None
        self.counts: Tensor | None = None  # of all ranks, at the end of the test

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.confusion = self.first = self.mistakes = self.counts = None

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
        images, labels = batch
        scores = self._scores(trainer, pl_module, outputs, images)
        if self.confusion is None:  # the scores tell how many classes there are
            self.confusion = ConfusionCounts(scores.shape[1]).to(scores.device)
        self.confusion.update(scores.argmax(1), labels)
        self._keep(judge(images, labels, scores))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.confusion is None or self.first is None or self.mistakes is None:
            return
        self.counts = self.confusion.compute().cpu()
        fields = pad(self.mistakes, self.samples).fields
        gathered = (trainer.strategy.all_gather(field).view(-1, *field.shape[1:]) for field in fields)
        self.mistakes = drop_right(rank_mistakes(Samples(*gathered), self.samples)).cpu()
        self.first = self.first.cpu()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.counts is None or not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                self._show(logger.experiment, class_names(trainer, len(self.counts)), trainer.global_step)

    def report_sections(self, trainer: Trainer, pl_module: LightningModule) -> list[Section]:
        """The confusion matrix and the sample predictions of a test."""
        if self.counts is None or self.first is None or self.mistakes is None:
            return []
        classes = class_names(trainer, len(self.counts))
        sections = [Section("Confusion matrix", confusion_blocks(self.counts, classes), order=30)]
        if self.samples:
            blocks = sample_blocks(self.first, self.mistakes, classes)
            sections.append(Section("Sample predictions", blocks, order=40))
        return sections

    def _scores(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, images: Tensor) -> Tensor:
        """The scores (N, K) that the test step returned; a module that returns none is asked again."""
        if isinstance(outputs, Mapping) and "scores" in outputs:
            scores: Tensor = outputs["scores"]
            return scores
        with trainer.precision_plugin.forward_context():
            scores = pl_module(images)
        return scores

    def _keep(self, batch: Samples) -> None:
        first = batch[: self.samples]
        mistakes = rank_mistakes(batch, self.samples)
        if self.first is None or self.mistakes is None:
            self.first, self.mistakes = first.clone(), mistakes
            return
        if len(self.first) < self.samples:
            self.first = (self.first + first)[: self.samples].clone()
        self.mistakes = rank_mistakes(self.mistakes + mistakes, self.samples)

    def _show(self, experiment: Any, classes: Sequence[str], step: int) -> None:
        for tag, samples in (("test/predictions", self.first), ("test/mistakes", self.mistakes)):
            if samples is not None and len(samples):
                experiment.add_image(tag, tile(to_bytes(samples.images), columns=8), step)
        if self.counts is not None and len(self.counts) <= MATRIX_CLASSES:
            pixels = to_pixels(draw_confusion(self.counts, classes))
            experiment.add_image("test/confusion_matrix", pixels, step, dataformats="HWC")


def class_names(trainer: Trainer, count: int) -> list[str]:
    """The datamodule's names where it has one for each class; numbers otherwise."""
    names = getattr(getattr(trainer, "datamodule", None), "classes", None) or ()
    return [str(name) for name in names] if len(names) == count else [str(index) for index in range(count)]


def confusion_blocks(counts: Tensor, classes: Sequence[str]) -> list[Block]:
    """The matrix as far as it can be read, the figures of the classes and the most frequent mistakes."""
    by_class, by_pair = class_table(counts, classes), pair_table(counts, classes)
    if len(counts) > MATRIX_CLASSES:
        return [
            Text(f"A matrix of {len(counts):,} classes cannot be read; these are its outstanding parts."),
            Columns([by_class, by_pair]),
        ]
    wrong = int(counts.sum() - counts.diagonal().sum())
    caption = (
        f"Rows are true classes, columns are predictions; {wrong:,} of {int(counts.sum()):,} images lie off the "
        "diagonal. The colour grows with the square root of the share of the row, so that rare mistakes show."
    )
    matrix = Figure(draw_confusion(counts, classes), caption)
    if len(counts) <= 12:
        return [Columns([matrix, by_class]), by_pair]
    return [matrix, Columns([by_class, by_pair])]


def class_table(counts: Tensor, classes: Sequence[str], most: int = TABLE_CLASSES) -> Table:
    """Accuracy and precision of each class; of many classes, the worst."""
    totals, right, taken = counts.sum(1), counts.diagonal(), counts.sum(0)
    accuracy, precision = right / totals, right / taken  # NaN where there was no image
    order = list(range(len(counts)))
    caption = (
        "Accuracy: share of the class's images that were recognised. Precision: share of its predictions that held."
    )
    if len(order) > most:
        order = accuracy.nan_to_num(2.0).argsort(stable=True)[:20].tolist()
        caption = f"The {len(order)} classes with the lowest accuracy. {caption}"
    rows = [class_row(classes[k], int(right[k]), int(totals[k]), float(precision[k])) for k in order]
    return Table(["class", "images", "accuracy", "95 % interval", "precision"], rows, caption)


def class_row(name: str, right: int, total: int, precision: float) -> list[Cell]:
    """One class."""
    if not total:
        return [name, 0, None, "", precision]
    low, high = wilson_interval(right / total, total)
    return [name, total, right / total, f"{low:.3f}\u00a0to\u00a0{high:.3f}", precision]


def pair_table(counts: Tensor, classes: Sequence[str], most: int = 10) -> Table:
    """The mistakes that were made most often."""
    wrong = counts.clone().fill_diagonal_(0)
    order = wrong.flatten().argsort(descending=True, stable=True)[:most]
    pairs = [divmod(index, len(counts)) for index in order.tolist()]
    totals = counts.sum(1)
    rows: list[list[Cell]] = [
        [classes[row], classes[column], int(wrong[row, column]), float(wrong[row, column] / totals[row])]
        for row, column in pairs
        if wrong[row, column] > 0
    ]
    return Table(["true class", "taken for", "images", "share of the class"], rows, "The most frequent mistakes.")


def sample_blocks(first: Samples, mistakes: Samples, classes: Sequence[str]) -> list[Block]:
    """The most confident mistakes, then the first images."""
    wrong: Block = Text("No image was misclassified.")
    if len(mistakes):
        caption = "The most confident mistakes: prediction, true class and the probability of the prediction."
        wrong = Gallery(mistakes.images, describe(mistakes, classes), caption)
    caption = "The first images of the test set, right (✓) or wrong (✗)."
    return [wrong, Gallery(first.images, describe(first, classes), caption)]
