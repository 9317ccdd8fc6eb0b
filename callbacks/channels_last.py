"""The order of numbers in memory that convolutions are fastest with."""

import torch
from lightning import Callback, LightningModule, Trainer


class ChannelsLast(Callback):
    """Keeps the weights of convolutions, and so their maps, in memory with the channels last.

    Nothing else changes, but sums are taken in another order, so results differ in the last digits. It is faster on
    CPUs (1.8 times for C³(32) on one core with AVX-512) and in reduced precision on GPUs with tensor cores. Teachers
    and networks that are attacked beside the trained one are kept in the same way.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        pl_module.to(memory_format=torch.channels_last)
