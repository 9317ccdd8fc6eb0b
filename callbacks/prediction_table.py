"""What ``predict`` finds, as a table in a file."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.nn import functional

from callbacks.places import drawn_places
from callbacks.predictions import class_names


class PredictionTable(Callback):
    """Writes the classes that ``predict`` finds to a CSV file, a row for each image in the order of the data.

    The columns are ``image`` (the picture's path, or its number), ``class`` and ``probability``, and for further
    classes ``class 2``, ``probability 2`` and so on.

    Args:
        file: where to; None for ``predictions.csv`` in the run folder.
        top: so many of the likeliest classes are written.
    """

    def __init__(self, file: str | None = None, top: int = 1) -> None:
        if top < 1:
            raise ValueError(f"PredictionTable: top={top} must be 1 or more")
        self.file, self.top = Path(file).expanduser() if file else None, top
        self.target: Path | None = None
        self.places: list[Tensor] | None = None
        self.parts: list[Tensor] = []  # (N, 1 + 2 top) float64: place, classes, probabilities
        self.seen = self.num_classes = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        folder = trainer.log_dir  # asked here, where all ranks come by: the answer is broadcast
        trial = getattr(trainer, "fast_dev_run", False)  # an attribute that Lightning does not declare
        self.target = self.file or (Path(folder or trainer.default_root_dir) / "predictions.csv")
        self.target = None if trial else self.target

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.places, self.parts, self.seen = drawn_places(trainer, "PredictionTable"), [], 0

    def on_predict_batch_end(
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
        if not isinstance(outputs, Tensor) or outputs.dim() != 2:
            raise TypeError("PredictionTable needs a predict_step that returns class probabilities (N, num_classes)")
        self.num_classes = outputs.shape[1]
        found = outputs.double().topk(min(self.top, self.num_classes))
        known = torch.arange(self.seen, self.seen + len(outputs)) if self.places is None else self.places[batch_idx]
        places = known.to(outputs.device, torch.float64).unsqueeze(1)
        self.parts.append(torch.cat([places, found.indices.double(), found.values], dim=1))
        self.seen += len(outputs)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        table = gathered(trainer, torch.cat(self.parts)) if self.parts else torch.zeros(0, 1)
        if self.target is None or not trainer.is_global_zero:
            return
        names = getattr(getattr(trainer, "datamodule", None), "names", None)
        write(self.target, rows(table.cpu(), class_names(trainer, self.num_classes), names))
        rank_zero_info(f"Predictions: {self.target}")


def gathered(trainer: Trainer, part: Tensor) -> Tensor:
    """The rows (N, k) of all ranks, in order of their first column."""
    longest = int(trainer.strategy.reduce(torch.tensor(len(part), device=part.device), reduce_op="max"))
    padded = functional.pad(part, [0, 0, 0, longest - len(part)], value=-1)
    table: Tensor = trainer.strategy.all_gather(padded).view(-1, part.shape[1])
    table = table[table[:, 0] >= 0]
    return table[table[:, 0].argsort()]


def rows(table: Tensor, classes: Sequence[str], names: Sequence[str] | None) -> Iterator[list[str]]:
    """Heading and fields, from a table (N, 1 + 2 top) of place, classes and probabilities."""
    top = table.shape[1] // 2
    numbers = ["", *(f" {k}" for k in range(2, top + 1))]
    yield ["image", *(f"{name}{number}" for number in numbers for name in ("class", "probability"))]
    for place, *found in table.tolist():
        pairs = zip(found[:top], found[top:], strict=True)
        fields = [field for index, share in pairs for field in (classes[int(index)], f"{share:.6f}")]
        yield [names[int(place)] if names is not None else str(int(place)), *fields]


def write(path: Path, lines: Iterator[list[str]]) -> None:
    """The file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
