"""Which of the test images a callback looks at."""

from collections.abc import Sized
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from callbacks.places import drawn_places


class ChosenImages:
    """So many of the images that are tested, drawn once and for all; the same whatever the batches and the ranks.

    Not the first ones: test sets are often sorted by class.

    Args:
        trainer: that tests.
        owner: who asks, for the sentences that refuse.
        images: how many; 0 takes all.

    Raises:
        ValueError: a foreign loader tells too little about its images.
    """

    def __init__(self, trainer: Trainer, owner: str, images: int) -> None:
        self.drawn = draw(images, tested(trainer, owner)) if images else None
        self.places = drawn_places(trainer, owner) if images else None
        self.seen = 0

    def among(self, places: Tensor) -> Tensor:
        """Whether the images (N,) at these places in the test set are looked at."""
        return torch.ones(len(places), dtype=torch.bool) if self.drawn is None else self.drawn[places]

    def of_batch(self, batch_idx: int, count: int) -> Tensor:
        """Whether the images (count,) of this rank's next batch are looked at."""
        places = torch.arange(self.seen, self.seen + count) if self.places is None else self.places[batch_idx]
        self.seen += count
        return self.among(places)


def draw(images: int, count: int) -> Tensor:
    """Whether each of ``count`` images is drawn, boolean (count,)."""
    drawn = torch.zeros(count, dtype=torch.bool)
    drawn[torch.randperm(count, generator=torch.Generator().manual_seed(0))[:images]] = True
    return drawn


def tested(trainer: Trainer, owner: str) -> int:
    """How many images all ranks test together: the first so many of the test set."""
    loader: Any = trainer.test_dataloaders
    loader = loader[0] if isinstance(loader, list | tuple) else loader
    sampler: Any = getattr(loader, "sampler", None)
    dataset = getattr(loader, "dataset", None)
    count = getattr(sampler, "count", None) or (len(dataset) if isinstance(dataset, Sized) else None)
    if count is None:
        raise ValueError(
            f"{owner} draws images from a test set whose length its {type(loader).__name__} does not tell: set images=0"
        )
    size = getattr(sampler, "batch_size", None) or getattr(loader, "batch_size", None) or count
    return int(min(count, trainer.num_test_batches[0] * size * trainer.world_size))
