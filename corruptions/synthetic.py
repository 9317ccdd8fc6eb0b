"""Corruptions that are computed: one loop over parts of a batch, keyed per image."""

from abc import abstractmethod
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from corruptions.colour import from_grey, to_grey
from corruptions.corruption import Corruption, check_images, check_severity, from_levels, to_levels
from corruptions.draws import Draws
from corruptions.severities import CifarSeverities, Severities

Level = TypeVar("Level")

# How many values are worked on at once; results don't depend on it. As float64, the smaller number stays in a core's
# cache, which makes some corruptions twice as fast.
CACHE, MEMORY = 2**16, 2**26


class SyntheticCorruption(Corruption, Generic[Level]):
    """A corruption that is computed.

    It works on bytes, as the benchmark does, in its own precision (float64, or float32 where it uses that), and ends by
    truncation, not rounding.

    Args:
        severity: 1 (mild) to 5 (strong).
        scale: the benchmark whose parameters are meant; CIFAR's by default.

    Attributes:
        level: the parameters of this severity.
    """

    colour: ClassVar[bool] = False  # works on RGB only

    def __init__(self, severity: int, scale: Severities | None = None) -> None:
        check_severity(severity)
        self.severity = severity
        self.level: Level = getattr(scale or CifarSeverities(), self.name)[severity - 1]

    def apply(self, images: Tensor, indices: Tensor, seed: int = 0) -> Tensor:
        check_images(images, indices)
        if self.colour and images.shape[1] not in (1, 3):
            raise ValueError(f"images have {images.shape[1]} channels: {self.name} needs 3, or 1 for grey")
        if not images.numel():
            return images
        # Some accelerators know no float64; there the processor computes.
        device = torch.device("cpu") if images.device.type == "mps" else images.device
        levels = to_levels(images.to(device))
        keys = Draws.keyed(seed, self.name, self.severity, indices.to(device)).keys
        count = max(1, (CACHE if device.type == "cpu" else MEMORY) // levels[0].numel())
        parts = [self._part(part, Draws(key)) for part, key in zip(levels.split(count), keys.split(count))]
        return from_levels(torch.cat(parts), images)

    def _part(self, levels: Tensor, draws: Draws) -> Tensor:
        grey = self.colour and levels.shape[1] == 1
        corrupted = self.corrupt(from_grey(levels) if grey else levels, draws)
        corrupted = corrupted.clamp(0, 255).to(torch.uint8)
        return to_grey(corrupted) if grey else corrupted

    @abstractmethod
    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        """Corrupt grey levels (N, C, H, W) uint8; what returns is clipped to 0 … 255 and truncated."""
