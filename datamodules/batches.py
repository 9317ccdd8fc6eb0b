"""Which images make up which batch: a function of the seed and the epoch alone."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from datamodules.augmentations import Augmentation


def keyed_generator(*key: int) -> Generator:
    """A CPU generator that depends on the key alone, so that equal keys give equal draws on every rank and device."""
    (seed,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(seed >> 1))


def split_batches(order: Tensor, batch_size: int, rank: int = 0, world: int = 1) -> list[Tensor]:
    """This rank's share of each joint batch of ``batch_size * world`` indices.

    Every index belongs to exactly one rank, none is repeated, and all ranks take equally many steps. An incomplete
    last batch is divided evenly; where it is too small for that, its indices join the batch before it.

    Raises:
        ValueError: if there are fewer indices than ranks.
    """
    if len(order) < world:
        raise ValueError(f"{len(order)} images cannot be shared by {world} ranks: set trainer.devices to fewer")
    joint = list(order.split(batch_size * world))
    if len(joint[-1]) < world:
        joint[-2:] = [torch.cat(joint[-2:])]
    return [batch.tensor_split(world)[rank] for batch in joint]


class EpochSampler:
    """The batches of an epoch and the random integers of its augmentations.

    Integers are drawn for every image before the epoch is cut into batches, so an image is augmented alike whatever
    the batch size, the number of ranks and the loader.

    Args:
        count: number of images.
        batch_size: images per batch and rank.
        seed: with the epoch, determines everything that is random here.
        shuffle: a new order in each epoch; otherwise the images come in order.
        drop_last: leave out an incomplete last batch.
        augmentations: whose random integers are drawn along.
        rank: of this process.
        world: number of processes.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = False,
        drop_last: bool = False,
        augmentations: Sequence[Augmentation] = (),
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.shuffle, self.drop_last, self.augmentations = shuffle, drop_last, augmentations
        self.rank, self.world = rank, world
        self.epoch = 0
        self.length = len(self._split(torch.arange(count)))

    def set_epoch(self, epoch: int) -> None:
        """Lightning tells each epoch's number through this name."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def draw(self) -> tuple[list[Tensor], list[Tensor]]:
        """This rank's batches of indices, and one (count, k) tensor of integers for each augmentation."""
        generator = keyed_generator(self.seed, self.epoch)
        order = torch.randperm(self.count, generator=generator) if self.shuffle else torch.arange(self.count)
        integers = [augmentation.draw(self.count, generator) for augmentation in self.augmentations]
        return self._split(order), integers

    def _split(self, order: Tensor) -> list[Tensor]:
        joint = self.batch_size * self.world
        if self.drop_last and len(order) >= joint:
            order = order[: len(order) // joint * joint]
        return split_batches(order, self.batch_size, self.rank, self.world)
