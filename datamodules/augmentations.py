"""Random changes to training images: the integers are drawn first, then applied to whole batches at once."""

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor
from torch.nn import functional


class Augmentation(ABC):
    """A random change whose randomness is integers, so that any loader gives the same pixels for the same integers."""

    @abstractmethod
    def draw(self, count: int, generator: Generator) -> Tensor:
        """Random integers (count, k), one row per image."""

    @abstractmethod
    def apply(self, images: Tensor, integers: Tensor) -> Tensor:
        """The changed images (N, C, H, W), of the same dtype; ``integers`` is (N, k)."""


class RandomCrop(Augmentation):
    """Shift each image by up to ``padding`` pixels, the border filled with black.

    Args:
        padding: largest shift in pixels, along each axis.
    """

    def __init__(self, padding: int = 4) -> None:
        if padding < 1:
            raise ValueError(f"RandomCrop: padding={padding} must be at least 1 pixel")
        self.padding = padding

    def draw(self, count: int, generator: Generator) -> Tensor:
        return torch.randint(2 * self.padding + 1, (count, 2), generator=generator)

    def apply(self, images: Tensor, integers: Tensor) -> Tensor:
        return crop(images, integers[:, 0], integers[:, 1], self.padding)


class RandomFlip(Augmentation):
    """Mirror each image left to right with probability one half."""

    def draw(self, count: int, generator: Generator) -> Tensor:
        return torch.randint(2, (count, 1), generator=generator)

    def apply(self, images: Tensor, integers: Tensor) -> Tensor:
        return flip(images, integers[:, 0])


class RandomResizedCrop(Augmentation):
    """Cut a random part out and resize it to a square (Szegedy et al. 2015), for pictures of any size.

    Args:
        size: height and width of the result in pixels.
        min_area: smallest share of the picture's area.
        max_ratio: largest ratio of the part's sides.
    """

    levels = 2**16

    def __init__(self, size: int = 224, min_area: float = 0.08, max_ratio: float = 4 / 3) -> None:
        if not 0 < min_area <= 1 or max_ratio < 1:
            raise ValueError(f"RandomResizedCrop: min_area={min_area} must be in (0, 1], max_ratio={max_ratio} >= 1")
        self.size, self.min_area, self.max_ratio = size, min_area, max_ratio

    def draw(self, count: int, generator: Generator) -> Tensor:
        return torch.randint(self.levels, (count, 4), generator=generator)

    def apply(self, images: Tensor, integers: Tensor) -> Tensor:
        from torchvision.transforms.v2.functional import resized_crop

        boxes = [self.box(row, *images.shape[-2:]) for row in integers.tolist()]
        parts = [resized_crop(image, *box, [self.size] * 2) for image, box in zip(images, boxes, strict=True)]
        return torch.stack(parts)

    def box(self, row: list[int], height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of the part that four integers choose."""
        area, ratio, top, left = (value / (self.levels - 1) for value in row)
        area = (self.min_area + area * (1 - self.min_area)) * height * width
        ratio = self.max_ratio ** (2 * ratio - 1)
        tall = min(height, max(1, round((area / ratio) ** 0.5)))
        wide = min(width, max(1, round((area * ratio) ** 0.5)))
        return round(top * (height - tall)), round(left * (width - wide)), tall, wide


def crop(images: Tensor, top: Tensor, left: Tensor, padding: int) -> Tensor:
    """Pad with black, then cut each image (C, H, W) out at its own corner; ``top`` and ``left`` are (N,) integers.

    Each row of the result is one contiguous strip of the padded images, so the whole batch is a single row gather.
    """
    count, channels, height, width = images.shape
    padded = functional.pad(images, [padding] * 4)
    tall, wide = padded.shape[-2:]
    strips = padded.view(-1).unfold(0, width, 1)  # (number of pixels - W + 1, W), a view
    planes = torch.arange(count * channels, device=images.device).view(count, channels) * (tall * wide)
    corners = planes + (top * wide + left).view(-1, 1)
    starts = corners.unsqueeze(2) + torch.arange(height, device=images.device) * wide  # (N, C, H)
    return strips.index_select(0, starts.view(-1)).view(images.shape)


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the chosen images left to right; ``chosen`` is (N,), zero or one."""
    count = len(images)
    both = torch.cat([images, images.flip(3)])
    return both.index_select(0, torch.arange(count, device=images.device) + count * chosen)
