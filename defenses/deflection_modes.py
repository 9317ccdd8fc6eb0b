"""Two readings of pixel deflection: the thesis's algorithm, and what the authors' program does."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from defenses.replacement import RandomPixel, Replacement
from defenses.sampling import Sampling, UniformSampling
from draws import Streams
from options import by_name

ModeName = Literal["paper", "authors"]


@dataclass(frozen=True)
class Window:
    """From where and by what pixels are replaced.

    Attributes:
        reach: apothem of the square round a pixel.
        sampling: of a source in it.
        replacement: what is taken.
    """

    reach: int
    sampling: Sampling
    replacement: Replacement

    def sources(self, centres: Tensor, size: tuple[int, int], first: int, draws: Tensor) -> Tensor:
        """A source for each pixel, as places (N, K) in the flattened image.

        Args:
            centres: (N, 2, K) rows and columns of the pixels.
            size: height and width of the image.
            first: no source lies in a row or column before this one.
            draws: (N, 2, K) uniform random numbers.
        """
        limits = _limits(first, size, centres.device)
        low, high = (centres - self.reach).clamp(*limits), (centres + self.reach).clamp(*limits)
        rows, columns = self.sampling.draw(centres, low, high, self.reach, draws).unbind(1)
        return torch.add(columns, rows, alpha=size[1])


@lru_cache(maxsize=8)
def _limits(first: int, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """The first and the last row and column, each (2, 1)."""
    last = torch.tensor([[extent - 1] for extent in size], device=device)
    return last.clamp(max=first), last


class Mode(ABC):
    """How often, in which order and in which channels pixels are deflected."""

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def check(self, window: Window) -> None:
        """Refuse, in words, what this reading does not know."""

    @abstractmethod
    def deflect(self, images: Tensor, maps: Tensor | None, count: int, window: Window, streams: Streams) -> Tensor:
        """Deflected images (N, C, H, W).

        Args:
            images: of the same shape.
            maps: (N, H, W) in [0, 1]; a pixel stays with this probability. None is zero everywhere.
            count: of deflections.
            window: where from.
            streams: random numbers of each image.
        """


class Paper(Mode):
    """Algorithm 2 of the thesis: so many draws of whole pixels, all of them read from the original image.

    A draw that meets a high activation changes nothing. Of several draws of one pixel the last counts.
    """

    def check(self, window: Window) -> None:
        """It knows everything."""

    def deflect(self, images: Tensor, maps: Tensor | None, count: int, window: Window, streams: Streams) -> Tensor:
        height, width = images.shape[2:]
        draws = streams.uniform(3, count, stream=0)
        pixels = (draws[:, 0] * (height * width)).long()  # (N, K)
        rows = pixels // width
        centres = torch.stack((rows, torch.sub(pixels, rows, alpha=width)), 1)  # a remainder would divide once more
        sources = window.sources(centres, (height, width), 0, draws[:, 1:])
        moving = None if maps is None else maps.flatten(1).gather(1, pixels) < streams.uniform(count, stream=1)
        table = window.replacement.table(images, window.reach)
        return write(images, table, pixels, window.replacement.places(pixels, sources), moving)


class Authors(Mode):
    """What the authors' program does, one deflection after the other.

    Every channel is deflected at a place of its own, read from the image as it is then, until so many were, or two more
    as the channels go in turn. Row 0 and column 0 are never read. An image whose map stops 99 of 100 draws ends early.
    """

    def check(self, window: Window) -> None:
        if not isinstance(window.sampling, UniformSampling) or not isinstance(window.replacement, RandomPixel):
            raise ValueError(
                f"PixelDeflection: mode='authors' knows no {window.sampling} or {window.replacement}: set sampling to "
                "uniform and replacement to random, or mode to paper"
            )

    def deflect(self, images: Tensor, maps: Tensor | None, count: int, window: Window, streams: Streams) -> Tensor:
        number, channels, height, width = images.shape
        if not window.reach or not count:
            return images
        turns = -(-count // channels)  # of the channels
        origin = torch.arange(channels * height * width, device=images.device).repeat(number, 1)
        done = torch.zeros(number, 1, dtype=torch.long, device=images.device)
        for round_ in range(100):
            targets, sources, moving = self._draw(images, maps, turns, window, streams, round_)
            before = done + moving.sum(2).cumsum(1) - moving.sum(2)  # when each turn begins
            moving = moving & (before < count).unsqueeze(2)
            for target, source, moves in zip(*(each.flatten(1).split(1, 1) for each in (targets, sources, moving))):
                origin.scatter_(1, target, torch.where(moves, origin.gather(1, source), origin.gather(1, target)))
            done = done + moving.sum((1, 2)).unsqueeze(1)
            if bool((done >= count).all()):
                break
        return images.flatten(1).gather(1, origin).view_as(images)

    def _draw(
        self, images: Tensor, maps: Tensor | None, turns: int, window: Window, streams: Streams, round_: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Places to write and to read in the flattened image, and whether the map allows it: (N, turns, C) each."""
        channels, height, width = images.shape[1:]
        draws = streams.uniform(5, turns * channels, stream=round_)
        rows, columns = (draws[:, 0] * height).long(), (draws[:, 1] * width).long()
        sources = window.sources(torch.stack((rows, columns), 1), (height, width), 1, draws[:, 2:4])
        pixels = rows * width + columns
        moving = torch.ones_like(pixels, dtype=torch.bool)
        if maps is not None:
            moving = maps.flatten(1).gather(1, pixels) <= draws[:, 4]
        offset = torch.arange(channels, device=images.device).repeat(turns) * (height * width)
        shape = (-1, turns, channels)
        return (pixels + offset).view(shape), (sources + offset).view(shape), moving.view(shape)


def write(images: Tensor, table: Tensor, pixels: Tensor, places: Tensor, moving: Tensor | None) -> Tensor:
    """Images with pixels (N, K) replaced by those of a table at places (N, K); the last write counts.

    All writes to one pixel are made the same, so that their order does not matter, and only one carries the gradient.

    Args:
        images: (N, C, H, W).
        table: of the same shape.
        pixels: that are written.
        places: that are read.
        moving: (N, K) whether a draw writes at all; None where all do.
    """
    count = pixels.shape[1]
    if not count:
        return images
    numbers = _numbers(count, pixels.device).expand_as(pixels)
    order = numbers if moving is None else numbers + count * moving.int()  # writes that move come last
    last = order.new_empty(len(images), images.shape[2] * images.shape[3])  # read only where it is written
    latest = last.scatter_reduce_(1, pixels, order, "amax", include_self=False).gather(1, pixels)
    winners = (latest if moving is None else latest % count).long()
    new = _read(table, places.gather(1, winners))
    if moving is not None:
        new = torch.where((latest >= count).unsqueeze(1), new, _read(images, pixels))
    if new.requires_grad:
        new = torch.where((winners == numbers).unsqueeze(1), new, new.detach())
    index = pixels.unsqueeze(1).expand(-1, images.shape[1], -1)
    return images.flatten(2).scatter(2, index, new).view_as(images)


@lru_cache(maxsize=8)
def _numbers(count: int, device: torch.device) -> Tensor:
    return torch.arange(count, device=device, dtype=torch.int32)


def _read(images: Tensor, places: Tensor) -> Tensor:
    """Pixels (N, C, K) at places (N, K) of the flattened image."""
    return images.flatten(2).gather(2, places.unsqueeze(1).expand(-1, images.shape[1], -1))


def mode_of(value: Mode | ModeName) -> Mode:
    """A mode, or the one of this short name."""
    classes: dict[str, type[Mode]] = {"paper": Paper, "authors": Authors}
    return by_name("mode", value, classes)
