"""Pictures without classes, to be classified."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning import LightningDataModule

from datamodules.batches import EpochSampler
from datamodules.imagenet import PICTURE_SUFFIXES, CentreCrop
from datamodules.loaders import Batch, WorkerLoader
from datamodules.sources import FileSource


class PictureFiles(LightningDataModule):
    """Any pictures below a folder, for ``predict``; the network must come with its weights.

    A picture is resized so that its short side is ``resize_to`` and the centre is cut out, as for ImageNet.

    Args:
        root: folder of the pictures; those in folders below it count as well.
        crop_size: height and width in pixels that the network takes.
        resize_to: length of the short side before the crop, in pixels; None for 256/224 of crop_size.
        classes: names of the classes, in the network's order; without them, predictions are numbers.
        synsets: file with one class per line, a word and then its names, as ImageNet's; instead of ``classes``.
        batch_size: pictures per step and process.
        workers: number of processes that read pictures; 0 reads in the main process.
    """

    def __init__(
        self,
        root: str,
        crop_size: int = 224,
        resize_to: int | None = None,
        classes: Sequence[str] | None = None,
        synsets: str | None = None,
        batch_size: int = 50,
        workers: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or workers < 0:
            raise ValueError(f"PictureFiles: batch_size={batch_size} must be 1 or more, workers={workers} 0 or more")
        self.root, self.batch_size, self.workers = Path(root).expanduser(), batch_size, workers
        self.crop = CentreCrop(round(crop_size * 256 / 224) if resize_to is None else resize_to, crop_size)
        self.classes: Sequence[str] = classes or ()
        self.synsets = Path(synsets).expanduser() if synsets else None
        self.paths: list[Path] = []

    @property
    def names(self) -> list[str]:
        """Each picture's path below the root, in the order of the batches."""
        return [path.relative_to(self.root).as_posix() for path in self.paths]

    def setup(self, stage: str) -> None:
        """Look for pictures."""
        if stage != "predict":
            self._refuse()
        if not self.root.is_dir():
            raise FileNotFoundError(f"there is no folder {self.root.absolute()}: set data.init_args.root")
        found = (path for path in self.root.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
        self.paths = sorted(found)
        if not self.paths:
            known = " ".join(sorted(PICTURE_SUFFIXES))
            raise FileNotFoundError(f"{self.root.absolute()} holds no pictures ({known}): set data.init_args.root")
        if self.synsets is not None:
            lines = [line.strip() for line in self.synsets.read_text().splitlines() if line.strip()]
            self.classes = [line.partition(" ")[2].partition(",")[0] or line for line in lines]

    def predict_dataloader(self) -> WorkerLoader:
        """In the order of their names, each picture once; the labels that batches need are all 0."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        sampler = EpochSampler(len(self.paths), self.batch_size, rank=rank, world=world)
        return WorkerLoader(FileSource(self.paths, [0] * len(self.paths), self.crop), sampler, self.workers)

    def train_dataloader(self) -> Any:
        self._refuse()

    def val_dataloader(self) -> Any:
        self._refuse()

    def test_dataloader(self) -> Any:
        self._refuse()

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return [part.to(device, non_blocking=True) for part in batch]

    def _refuse(self) -> NoReturn:
        raise ValueError("PictureFiles has pictures without classes: it serves predict only, so give other data")
