"""Who proposes nearest neighbours: quickly, and with rounding errors."""

import importlib
from abc import ABC, abstractmethod
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from modes import full_products

SPARE = 6  # candidates beyond those asked for, among which rounding cannot hide a neighbour
PORTION = {"cpu": (2**20, 2**24), "cuda": (2**27, 2**27)}  # numbers held at a time: in the cache, and at most
NOT_FINITE = "embeddings are NaN or infinite, so they have no neighbours: lower the learning rate"


class Search(ABC):
    """Proposes candidates, quickly and with rounding errors of this precision."""

    precision = torch.float32

    def spare(self, among: int) -> int:
        """How many candidates to take beyond those asked for; they cost little among many points."""
        return 1 if self.precision == torch.double else SPARE + among // 2000

    @abstractmethod
    def candidates(self, queries: "Cloud", points: "Cloud", count: int, owners: Tensor | None) -> tuple[Tensor, Tensor]:
        """Squared distances (N, count), rounded and rising, and the indices of these points.

        Args:
            queries: N, of this precision.
            points: n, of this precision.
            count: at most n, or n - 1 with owners.
            owners: (N,) the point that each query is, which is no candidate, or None.
        """


class Cloud(NamedTuple):
    """Points (n, d) and their squared lengths (n,)."""

    points: Tensor
    squared_lengths: Tensor


class TorchSearch(Search):
    """Scalar products on the device of the points, for a portion of the queries at a time."""

    def __init__(self, precision: torch.dtype = torch.double) -> None:
        self.precision = precision

    def candidates(self, queries: Cloud, points: Cloud, count: int, owners: Tensor | None) -> tuple[Tensor, Tensor]:
        found = []
        shift = queries.squared_lengths.max() + rounding(queries, points) / 2  # instead of each query's own length
        columns, lengths = points.points.T, points.squared_lengths + shift
        with nullcontext() if self.precision == torch.double else full_products(lengths.device):
            for rows in portions(queries.points, len(lengths), len(columns)):
                shifted = torch.addmm(lengths, rows, columns, alpha=-2)  # never negative, thanks to the shift
                if owners is not None:
                    own, owners = owners.split([len(rows), len(owners) - len(rows)])
                    shifted.scatter_(1, own.unsqueeze(1), torch.inf)
                found.append(lowest(shifted, count))
        shifted, indices = (torch.cat(parts) for parts in zip(*found)) if len(found) > 1 else found[0]
        return shifted + (queries.squared_lengths - shift).unsqueeze(1), indices


class FaissSearch(Search):
    """FAISS, on the GPU where the points are and its build finds one, else on the CPU."""

    def candidates(self, queries: Cloud, points: Cloud, count: int, owners: Tensor | None) -> tuple[Tensor, Tensor]:
        if owners is None:
            return self.search(queries.points, points.points, count)
        squared, indices = self.search(queries.points, points.points, count + 1)
        squared, order = squared.masked_fill(indices == owners.unsqueeze(1), torch.inf).sort(dim=1)
        return squared[:, :count], indices.gather(1, order)[:, :count]

    def search(self, queries: Tensor, points: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """As FAISS finds them: squared distances (N, count) and indices."""
        faiss = _faiss()
        queries, points = queries.contiguous(), points.contiguous()
        if points.is_cuda and faiss.get_num_gpus() > 0:
            importlib.import_module("faiss.contrib.torch_utils")  # lets FAISS read tensors on the GPU
            device = points.device.index or 0
            squared, indices = faiss.knn_gpu(_gpu_resources(device), queries, points, count, device=device)
        else:
            squared, indices = map(torch.from_numpy, faiss.knn(queries.cpu().numpy(), points.cpu().numpy(), count))
        if (indices < 0).any():
            raise ValueError(NOT_FINITE)
        return squared.to(points.device), indices.to(points.device)


@lru_cache
def has_faiss() -> bool:
    """Whether FAISS is installed, and sound."""
    try:
        _faiss()
    except ImportError:
        return False
    return True


def rounding(queries: Cloud, points: Cloud) -> Tensor:
    """By how much gaps between squared distances may be wrong that scalar products have given; these by half. A scalar.

    A sum of d products is wrong by at most d roundings of the product of the lengths (Higham 2002, section 3.1).
    """
    roundings = 16 + points.points.shape[1]
    # Twice this is at least the square of the sum of two lengths.
    lengths = queries.squared_lengths.max() + points.squared_lengths.max()
    return lengths * (2 * roundings * torch.finfo(lengths.dtype).eps)


def lowest(numbers: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The lowest of each row (N, n), rising, and their columns; numbers are not negative.

    The bits of such numbers, read as integers, rise with them, and integers are sorted faster, as none is NaN. Of many,
    those with the lowest in their group are looked at first. A group holds a number of each strip of the row. No number
    outside the ``count`` groups with the lowest minima is below ``count`` numbers inside.
    """
    bits = numbers.view(torch.int64 if numbers.dtype == torch.double else torch.int32)
    width = numbers.shape[1]
    if width < 16 * count:
        found, columns = bits.topk(count, largest=False)
        return found.view(numbers.dtype), columns
    strips = 4 if width < 40 * count else 8
    length = width // strips
    groups = numbers[:, : strips * length].unflatten(1, (strips, length)).amin(1).view(bits.dtype)
    first = groups.topk(count, largest=False, sorted=False).indices.unsqueeze(1)
    starts = torch.arange(0, strips * length, length, device=numbers.device).view(1, strips, 1)
    left = torch.arange(strips * length, width, device=numbers.device).expand(len(numbers), -1)
    columns = torch.cat([(first + starts).flatten(1), left], dim=1)
    found, order = bits.gather(1, columns).topk(count, largest=False)
    return found.view(numbers.dtype), columns.gather(1, order)


def portions(rows: Tensor, numbers: int, least: int = 1) -> tuple[Tensor, ...]:
    """Parts of the rows, for each of which so many numbers are computed.

    Args:
        rows: (N, ...).
        numbers: computed for a row.
        least: rows that are worth a part even where their numbers leave the cache.
    """
    cached, most = PORTION.get(rows.device.type, PORTION["cpu"])
    numbers = max(1, numbers)
    parts: tuple[Tensor, ...] = rows.split(max(1, min(max(cached // numbers, least), most // numbers)))
    return parts


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError("backend=faiss needs FAISS: install faiss-cpu, or take backend=auto") from error
    return faiss


@lru_cache
def _gpu_resources(device: int) -> Any:
    """FAISS's working memory of a GPU, which takes long to allocate."""
    return _faiss().StandardGpuResources()
