"""Patches of clean images, to build others from."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_bank(batches: Iterable[Tensor], size: int = 5, per_image: int = 10, seed: int = 0) -> Tensor:
    """Patches (M, C, size, size) from random places of a data set's images; ``defenses.patches`` writes them to a file.

    Args:
        batches: of images (N, C, H, W) in [0, 1], such as a loader gives.
        size: side of a patch in pixels.
        per_image: patches of each image. Guo et al. (2018) keep a million patches in all.
        seed: of the places.
    """
    for name, value in (("size", size), ("per_image", per_image)):
        if value < 1:
            raise ValueError(f"patch_bank: {name}={value} must be at least 1")
    generator = torch.Generator().manual_seed(seed)
    found = []
    for images in batches:
        number, channels, height, width = images.shape
        if min(height, width) < size:
            raise ValueError(f"patch_bank: size={size} is larger than images of {height}x{width}: take smaller patches")
        places = (height - size + 1) * (width - size + 1)
        chosen = torch.randint(places, (number, per_image), generator=generator).to(images.device)
        windows = images.unfold(2, size, 1).unfold(3, size, 1).flatten(2, 3)  # (N, C, places, size, size)
        index = chosen.view(number, 1, per_image, 1, 1).expand(-1, channels, -1, size, size)
        found.append(windows.gather(2, index).transpose(1, 2).flatten(0, 1).cpu())
    if not found:
        raise ValueError("patch_bank: there are no images to take patches from: give a loader with at least one batch")
    return torch.cat(found)


def cut(images: Tensor, size: int, step: int) -> tuple[Tensor, tuple[int, int]]:
    """Patches (N, L, C * size * size) on a grid that covers images, and the size of the mirrored image they cover."""
    height, width = (size + step * max(0, -(-(length - size) // step)) for length in images.shape[2:])
    for axis, extent in ((2, height), (3, width)):
        length = images.shape[axis]
        places = torch.arange(extent, device=images.device).remainder(2 * length)
        images = images.index_select(axis, places.minimum(2 * length - 1 - places))
    return F.unfold(images, size, stride=step).mT, (height, width)


def join(patches: Tensor, size: int, step: int, extent: tuple[int, int]) -> Tensor:
    """The image (N, C, height, width) of such patches; where they overlap, their mean."""
    total = F.fold(patches.mT, extent, size, stride=step)
    return total / F.fold(torch.ones_like(patches.mT), extent, size, stride=step)


def nearest(queries: Tensor, bank: Tensor, count: int, chunk: int = 8192) -> Tensor:
    """The nearest rows (Q, count) of a bank (M, d) to queries (Q, d), nearest first.

    All are compared, in the precision of the bank; who is nearer by less than its rounding is not told apart.
    """
    best = queries.new_full((len(queries), 0), torch.inf)
    rows = torch.zeros(len(queries), 0, dtype=torch.long, device=queries.device)
    for start in range(0, len(bank), chunk):
        part = bank[start : start + chunk]
        distances = part.square().sum(1) - 2 * queries @ part.T  # and the query's own square, the same for all
        near = distances.topk(min(count, len(part)), dim=1, largest=False)
        best, rows = torch.cat([best, near.values], 1), torch.cat([rows, near.indices + start], 1)
        kept = best.topk(min(count, best.shape[1]), dim=1, largest=False)
        best, rows = kept.values, rows.gather(1, kept.indices)
    return rows


def blend(patches: Tensor, near: Tensor) -> Tensor:
    """Means (L, d) of near patches (L, k, d), the heavier the nearer they are to patches (L, d).

    Weights fall exponentially with the squared distance, to 1/e of the nearest one's for the farthest. So an image that
    moves towards a patch turns into it gradually, where the nearest one would jump; this has a gradient.
    """
    # Minus the squared distances, but for a term that all have in common.
    closeness = 2 * torch.bmm(near, patches.unsqueeze(2)).squeeze(2) - near.square().sum(2)  # (L, k)
    width = (closeness.amax(1, keepdim=True) - closeness.amin(1, keepdim=True)).detach().clamp(min=1e-12)
    weights = (closeness / width).softmax(1)
    return torch.bmm(weights.unsqueeze(1), near).squeeze(1)
