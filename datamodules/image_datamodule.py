"""The data path that all image data sets share: validation split, loaders, shards, seeds."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from lightning import LightningDataModule
from torch import Tensor

from datamodules.augmentations import Augmentation
from datamodules.batches import EpochSampler, keyed_generator
from datamodules.loaders import Batch, EpochLoader, ResidentLoader, WorkerLoader
from datamodules.sources import ImageSource, TensorSource


class ImageDataModule(LightningDataModule, ABC):
    """Images for training, validation and testing; the validation set is split off the training set.

    Batches are lists ``[images (N, C, H, W) float in [0, 1], labels (N,) int64]``. The test set is used for nothing
    but testing.

    Args:
        batch_size: training images per step and process.
        eval_batch_size: images per step and process in validation and testing.
        val_size: number of training images that are held out for validation.
        val_seed: decides which ones; kept apart from ``seed_everything`` so that all runs hold out the same images.
        augmentations: random changes of training images, in order.
        drop_last: leave out the last training batch of an epoch where it is incomplete.
        workers: None keeps the images on the training device; a number reads them in so many worker processes.
    """

    num_classes: ClassVar[int]
    image_size: ClassVar[int] = 32
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]
    classes: Sequence[str] = ()

    def __init__(
        self,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        val_size: int = 5000,
        val_seed: int = 0,
        augmentations: list[Augmentation] | None = None,
        drop_last: bool = False,
        workers: int | None = None,
    ) -> None:
        super().__init__()
        for name, value in {"batch_size": batch_size, "eval_batch_size": eval_batch_size}.items():
            if value < 1:
                raise ValueError(f"data.{name}={value} must be at least 1")
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.val_size, self.val_seed = val_size, val_seed
        self.augmentations = augmentations or []
        self.drop_last, self.workers = drop_last, workers
        self.seed = 0
        self.sources: dict[str, ImageSource] = {}

    @abstractmethod
    def read(self, train: bool) -> ImageSource:
        """The official training or test set; raises FileNotFoundError that says where it looked and what to do."""

    def setup(self, stage: str) -> None:
        """Read what the stage needs, once, and split the validation set off."""
        self.seed = self._agreed_seed()
        if stage in ("fit", "validate") and "train" not in self.sources:
            self.sources["train"], self.sources["val"] = self.split(self._checked(self.read(train=True)))
        if stage in ("test", "predict") and "test" not in self.sources:
            self.sources["test"] = self._checked(self.read(train=False))

    def split(self, source: ImageSource) -> tuple[ImageSource, ImageSource]:
        """Training and validation images: the same split for every run, by ``val_seed``."""
        if not 0 <= self.val_size < len(source):
            raise ValueError(f"data.val_size={self.val_size} must be less than the {len(source)} training images")
        order = torch.randperm(len(source), generator=keyed_generator(self.val_seed))
        return source.subset(order[self.val_size :]), source.subset(order[: self.val_size])

    def train_dataloader(self) -> EpochLoader:
        """Shuffled, augmented and shared by the ranks."""
        return self._loader(self.sources["train"], self.batch_size, shuffle=True, augmentations=self.augmentations)

    def val_dataloader(self) -> EpochLoader | list[Any]:
        """In order, each image once; nothing where val_size is 0."""
        return self._loader(self.sources["val"], self.eval_batch_size) if len(self.sources["val"]) else []

    def test_dataloader(self) -> EpochLoader:
        """In order, each image once."""
        return self._loader(self.sources["test"], self.eval_batch_size)

    def memory_dataloader(self, images: int = 0) -> EpochLoader:
        """Training images as test images are shown, each once: what readouts remember.

        Args:
            images: so many of them, the same ones each time; 0 takes all that are trained on.
        """
        if "train" not in self.sources:
            self.sources["train"], self.sources["val"] = self.split(self._checked(self.read(train=True)))
        source = self.plain_source(self.sources["train"])
        few = 0 < images < len(source)
        return self._loader(source.subset(torch.arange(images)) if few else source, self.eval_batch_size)

    def plain_dataloader(self, part: str = "train", count: int = 0) -> EpochLoader:
        """Training or validation images as test images are shown, all of them on every rank: to be looked at.

        Args:
            part: ``train`` or ``val``, after ``setup("fit")``; in the split's order, which is random, but fixed.
            count: so many, the first ones; 0 means all.
        """
        source = self.plain_source(self.sources[part])
        count = min(count, len(source)) or len(source)
        return self._over(source.subset(torch.arange(count)), EpochSampler(count, self.eval_batch_size))

    def plain_source(self, source: ImageSource) -> ImageSource:
        """Images of one size where training ones are cut by augmentations."""
        return source

    def predict_dataloader(self) -> EpochLoader:
        """The test images."""
        return self.test_dataloader()

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Resident batches are there already."""
        return [part.to(device, non_blocking=True) for part in batch]

    def state_dict(self) -> dict[str, Any]:
        """The seed of the shuffles and augmentations, so that a resumed run continues the same ones."""
        return {"seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the interrupted run's seed."""
        self.seed = state_dict["seed"]

    def _loader(
        self, source: ImageSource, batch_size: int, shuffle: bool = False, augmentations: Sequence[Augmentation] = ()
    ) -> EpochLoader:
        sampler = EpochSampler(
            len(source),
            batch_size,
            seed=self.seed,
            shuffle=shuffle,
            drop_last=shuffle and self.drop_last,
            augmentations=augmentations,
            rank=self.trainer.global_rank if self.trainer else 0,
            world=self.trainer.world_size if self.trainer else 1,
        )
        return self._over(source, sampler)

    def _over(self, source: ImageSource, sampler: EpochSampler) -> EpochLoader:
        if self.workers is None and isinstance(source, TensorSource):
            device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
            return ResidentLoader(source.images.to(device), source.labels.to(device), sampler)
        return WorkerLoader(source, sampler, self.workers or 0)

    def _agreed_seed(self) -> int:
        """``seed_everything``'s value, or rank 0's; a resumed run replaces it later by the interrupted one's."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", torch.initial_seed() % 2**31))
        return int(self.trainer.strategy.broadcast(seed)) if self.trainer else seed

    def _checked(self, source: ImageSource) -> ImageSource:
        check_labels(source.labels, self.num_classes, type(self).__name__)
        return source


def check_labels(labels: Tensor, num_classes: int, name: str) -> None:
    """Refuse labels outside 0 … num_classes − 1."""
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(
            f"{name}: labels run from {int(labels.min())} to {int(labels.max())}, but must lie between 0 and "
            f"{num_classes - 1}: check the files or num_classes"
        )
