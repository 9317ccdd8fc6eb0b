"""Two ways to the same batches: from tensors that live on the device, and through worker processes."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.batches import EpochSampler

Batch = list[Tensor]  # [images (N, C, H, W) float in [0, 1], labels (N,) int64]; a list, so that plug-ins can assign


def to_unit_range(images: Tensor) -> Tensor:
    """From uint8 to float32 in [0, 1]."""
    return images.float().div_(255)


class EpochLoader:
    """Iterates over the sampler's batches and remembers how far it came, so that a run resumes mid-epoch exactly.

    Args:
        sampler: decides the batches; Lightning sets its epoch.
    """

    batch_sampler = None  # Lightning looks for it beside ``sampler``

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler
        self.position = 0  # batches handed out
        self.interrupted: dict[str, int] | None = None  # epoch and position to continue from

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        # A generator: nothing is drawn before the first batch is asked for, when the epoch is known.
        start = self._first_batch()
        indices, integers = self.sampler.draw()
        for position, batch in enumerate(self.load(indices[start:], integers), start + 1):
            self.position = position
            yield batch

    def load(self, indices: list[Tensor], integers: list[Tensor]) -> Iterator[Batch]:
        """The batches of these indices; ``integers`` has a row for every image of the data set."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """How many batches of which epoch were handed out."""
        return {"epoch": self.sampler.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue behind the batches that were handed out, if it is that epoch which is continued."""
        self.interrupted = state

    def _first_batch(self) -> int:
        state, self.interrupted = self.interrupted, None
        return state["position"] if state is not None and state["epoch"] == self.sampler.epoch else 0


class ResidentLoader(EpochLoader):
    """Batches of small images that stay on the device as uint8 and are augmented there, a whole batch at once.

    Args:
        images: (N, C, H, W) uint8, on the training device.
        labels: (N,) int64, on the same device.
        sampler: decides the batches and draws the augmentations' integers.
    """

    def __init__(self, images: Tensor, labels: Tensor, sampler: EpochSampler) -> None:
        super().__init__(sampler)
        self.images, self.labels = images, labels

    def load(self, indices: list[Tensor], integers: list[Tensor]) -> Iterator[Batch]:
        device = self.images.device
        rows = [draws.to(device) for draws in integers]
        for chosen in indices:
            chosen = chosen.to(device, non_blocking=True)
            images = self.images.index_select(0, chosen)
            for augmentation, draws in zip(self.sampler.augmentations, rows, strict=True):
                images = augmentation.apply(images, draws.index_select(0, chosen))
            yield [to_unit_range(images), self.labels.index_select(0, chosen)]


class WorkerLoader(EpochLoader):
    """Batches whose images are read and augmented one by one in worker processes: for images too large to stay.

    Args:
        dataset: maps an index to (image (C, H, W) uint8 or float in [0, 1], label).
        sampler: decides the batches and draws the augmentations' integers.
        workers: number of processes; 0 reads in the training process.
    """

    def __init__(self, dataset: Dataset[tuple[Tensor, int]], sampler: EpochSampler, workers: int = 0) -> None:
        super().__init__(sampler)
        self.dataset, self.workers = dataset, workers

    def load(self, indices: list[Tensor], integers: list[Tensor]) -> Iterator[Batch]:
        loader = DataLoader(
            AugmentedDataset(self.dataset, self.sampler.augmentations, integers),
            batch_sampler=[chosen.tolist() for chosen in indices],
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
        )
        for images, labels in loader:
            yield [images, labels]


class AugmentedDataset(Dataset[tuple[Tensor, int]]):
    """One image at a time, with the very functions that the resident path applies to a batch."""

    def __init__(self, dataset: Any, augmentations: Any, integers: list[Tensor]) -> None:
        self.dataset, self.augmentations, self.integers = dataset, augmentations, integers

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.dataset[index]
        batch = image.unsqueeze(0)
        for augmentation, draws in zip(self.augmentations, self.integers, strict=True):
            batch = augmentation.apply(batch, draws[index : index + 1])
        return (to_unit_range(batch) if batch.dtype == torch.uint8 else batch).squeeze(0), label
