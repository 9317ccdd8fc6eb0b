"""How embeddings of different classes come apart during training."""

from typing import Any

import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from callbacks.embedding_figures import draw_frames
from callbacks.embeddings import embed, outputs_of_step
from callbacks.figures import to_pixels
from callbacks.predictions import class_names
from callbacks.sections import Figure, Section, Text

Frame = tuple[Tensor, Tensor]  # embeddings (n, d) and labels (n,), on the CPU
THUMBNAIL = 32  # pixels


class EmbeddingPlot(Callback):
    """Draws the embeddings of validation images at several times of the training.

    Bontonou et al. 2019, arXiv 1905.00301, figure 1. The report shows them side by side. In TensorBoard they are
    ``val/embeddings``, and the last ones with their images are data for its projector. Embeddings of more than two
    dimensions are projected on the two principal axes of the last ones. With several ranks, those of the first rank.

    Args:
        frames: at so many epochs, spread evenly from the first to the last that ends in a validation. A training that
            is stopped early has those that it came to.
        images: so many validation images, the first ones.
    """

    def __init__(self, frames: int = 6, images: int = 1000) -> None:
        for name, value in {"frames": frames, "images": images}.items():
            if value < 1:
                raise ValueError(f"EmbeddingPlot: {name}={value} must be at least 1")
        self.count, self.images = frames, images
        self.frames: dict[int, Frame] = {}  # by epoch
        self.outputs: list[Tensor] = []  # of this validation, or none
        self.labels: list[Tensor] = []
        self.pictures: list[Tensor] = []
        self.wanted = 0  # images in this validation
        self.last_pictures: Tensor | None = None  # of the last frame, and in no checkpoint

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.frames, self.last_pictures = {}, None
        if (trainer.max_epochs or 0) < 1:
            raise ValueError("EmbeddingPlot spreads its pictures over the epochs: set trainer.max_epochs")

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        due = trainer.is_global_zero and is_due(trainer, self.count, len(self.frames))
        self.outputs, self.labels, self.pictures = [], [], []
        self.wanted = self.images if due else 0

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if dataloader_idx > 0 or not self.wanted:
            return
        found = embed(pl_module, outputs_of_step(outputs, self)[: self.wanted])
        self.outputs.append(found.cpu())
        self.labels.append(batch[1][: self.wanted].cpu())
        self.pictures.append(thumbnails(batch[0][: self.wanted]))
        self.wanted -= len(found)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.outputs:
            return
        epoch = trainer.current_epoch
        self.frames[epoch] = torch.cat(self.outputs), torch.cat(self.labels)
        self.last_pictures = torch.cat(self.pictures)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                pixels = to_pixels(draw_frames({epoch: self.frames[epoch]}, self._classes(trainer)))
                logger.experiment.add_image("val/embeddings", pixels, epoch, dataformats="HWC")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero or not self.frames:
            return
        (embeddings, labels), classes = self.frames[max(self.frames)], self._classes(trainer)
        names = [classes[label] for label in labels.tolist()]
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                step = trainer.global_step
                logger.experiment.add_embedding(embeddings, names, self.last_pictures, step, tag="embeddings")

    def report_sections(self, trainer: Trainer, pl_module: LightningModule) -> list[Section]:
        """The pictures of a training, side by side."""
        if trainer.state.fn != "fit" or not self.frames:
            return []
        embeddings, _ = self.frames[max(self.frames)]
        words = f"{len(embeddings):,} validation images, embedded in {embeddings.shape[1]} dimensions."
        if embeddings.shape[1] > 2:
            words += " Shown are the two principal axes of the last embeddings."
        drawing = draw_frames(self.frames, self._classes(trainer))
        figure = Figure(drawing, "Embeddings of validation images in the course of training, coloured by class.")
        return [Section("Embeddings", [Text(words), figure], order=25)]

    def state_dict(self) -> dict[str, Any]:
        return {"frames": {epoch: list(frame) for epoch, frame in self.frames.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.frames = {epoch: (frame[0], frame[1]) for epoch, frame in state_dict["frames"].items()}

    def _classes(self, trainer: Trainer) -> list[str]:
        highest = max(int(labels.max()) for _, labels in self.frames.values())
        known = getattr(getattr(trainer, "datamodule", None), "num_classes", highest + 1)
        return class_names(trainer, max(known, highest + 1))


def is_due(trainer: Trainer, count: int, taken: int) -> bool:
    """Whether this validation is to be drawn: the first one at or after the next of so many evenly spread epochs."""
    if trainer.sanity_checking or trainer.state.fn != "fit" or taken >= count:
        return False
    last = last_validated_epoch(trainer)
    return trainer.current_epoch >= (round(last * taken / (count - 1)) if count > 1 else last)


def last_validated_epoch(trainer: Trainer) -> int:
    """The last epoch, from 0, that ends in a validation; below 0 where none does."""
    epochs, every = trainer.max_epochs or 1, trainer.check_val_every_n_epoch or 1
    return epochs - epochs % every - 1


def thumbnails(images: Tensor) -> Tensor:
    """Small images (n, 3, 32, 32) in [0, 1], on the CPU."""
    small = images.float()
    if max(images.shape[2:]) > THUMBNAIL:
        small = F.interpolate(small, size=(THUMBNAIL, THUMBNAIL), mode="area")
    return small.cpu().clamp(0, 1).expand(-1, 3, -1, -1)
