"""Exact nearest neighbours, the same ones whoever finds them."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from criteria.embeddings import full_precision

Backend = Literal["auto", "direct", "torch", "faiss"]

DIRECT = 200_000  # coordinates compared, up to which the plain way is fastest; see benchmarks.neighbors
SPARE = 6  # candidates beyond those asked for, among which rounding cannot hide a neighbour
DOUBLE = (64, 2**25)  # coordinates, or products in all, below which double precision costs less than doubts
FAISS = 500_000  # pairs on the CPU from which FAISS is faster in single precision
PORTION = {"cpu": (2**20, 2**24), "cuda": (2**27, 2**27)}  # numbers held at a time: in the cache, and at most
NOT_FINITE = "embeddings are NaN or infinite, so they have no neighbours: lower the learning rate"
STRIPS = 8  # numbers of which only the lowest competes at first


@torch.no_grad()
def nearest_neighbors(
    queries: Tensor, points: Tensor, k: int, skip_self: bool = False, backend: Backend = "auto"
) -> Tensor:
    """Indices (N, k) of the nearest points by Euclidean distance, the nearest first, equal distances by index.

    Distances are defined as computed from differences in double precision and then rounded to single precision; equal
    ones go by index. FAISS and scalar products only propose candidates. Where these lie further apart than rounding
    reaches, their order stands; otherwise they are measured by the definition, and where a neighbour might be missing,
    more are proposed. So all backends give the same neighbours. No gradient; take it through distances to the points
    found.

    Args:
        queries: (N, d).
        points: (n, d), finite.
        k: from 1 to n, or n - 1 with ``skip_self``.
        skip_self: queries are the points, and none is its own neighbour.
        backend: ``auto`` chooses by size; ``direct``, ``torch`` and ``faiss`` are there for comparisons.
    """
    most = len(points) - skip_self
    if not 1 <= k <= most:
        raise ValueError(f"k={k} neighbours were asked for among {most}: take from 1 to {most}")
    queries, points = full_precision(queries.detach()), full_precision(points.detach())
    search = choose(backend, queries, points)
    owners = torch.arange(len(queries), device=queries.device) if skip_self else None
    if search is None:
        return _directly(queries, points, k, owners)
    return _by_candidates(search, queries, points, k, owners, search.spare(len(points)))


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
        columns, lengths = points.points.T, points.squared_lengths
        with nullcontext() if self.precision == torch.double else _full_products(lengths.device):
            for rows in _portions(queries.points, len(lengths), len(columns)):
                squared = torch.addmm(lengths, rows, columns, alpha=-2)  # but for the length of the query
                if owners is not None:
                    own, owners = owners.split([len(rows), len(owners) - len(rows)])
                    squared.scatter_(1, own.unsqueeze(1), torch.inf)
                found.append(_lowest(squared, count))
        squared, indices = (torch.cat(parts) for parts in zip(*found)) if len(found) > 1 else found[0]
        return squared + queries.squared_lengths.unsqueeze(1), indices


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


def choose(backend: Backend, queries: Tensor, points: Tensor) -> Search | None:
    """The search for this many points; None compares all coordinates directly."""
    pairs, width = len(queries) * len(points), points.shape[1]
    if backend == "auto" and pairs * width <= DIRECT:
        return None
    by_products = TorchSearch(torch.double if width < DOUBLE[0] or pairs * width <= DOUBLE[1] else torch.float32)
    if backend == "auto":
        single = by_products.precision == torch.float32
        fast = single and pairs >= FAISS and points.device.type == "cpu" and has_faiss()
        return FaissSearch() if fast else by_products
    if backend not in ("direct", "torch", "faiss"):
        raise ValueError(f"backend={backend!r} is unknown: give auto, direct, torch or faiss")
    return {"direct": None, "torch": by_products, "faiss": FaissSearch()}[backend]


@lru_cache
def has_faiss() -> bool:
    """Whether FAISS is installed."""
    return importlib.util.find_spec("faiss") is not None


def _by_candidates(
    search: Search, queries: Tensor, points: Tensor, k: int, owners: Tensor | None, spare: int
) -> Tensor:
    """Rows whose distances lie further apart than rounding reaches are right as proposed; others are looked at again.

    Args:
        search: proposes candidates.
        queries: (N, d).
        points: (n, d).
        k: how many are wanted.
        owners: (N,) the point that each query is, if any, and that does not count.
        spare: how many more candidates to take.
    """
    most = len(points) - (owners is not None)
    count = min(most, k + spare)
    clouds = _clouds(queries, points, search.precision)
    squared, proposed = search.candidates(*clouds, count, owners)
    error = _rounding(*clouds)
    # Squares that differ by more also differ in single precision, and so do their roots.
    reach = torch.add(error, squared[:, : min(k, count - 1)], alpha=1 + 3 * SINGLE)
    apart = squared[:, 1 : k + 1] > reach
    if apart.all():
        return proposed[:, :k]
    if not (error.isfinite().all() and squared.isfinite().all()):
        raise ValueError(NOT_FINITE)
    unsure = apart.all(1).logical_not().nonzero().squeeze(1)
    distances, nearest = _measured(queries, points, proposed, unsure, k)
    chosen = proposed[:, :k].index_copy(0, unsure, nearest)
    # What was not proposed is at least as far as the last one that was.
    bound = (squared[:, -1:] - error / 2)[unsure].clamp(min=0).sqrt() * (1 - 4 * SINGLE)
    lost = unsure[(distances[:, -1:] >= bound).squeeze(1)]
    if count < most and len(lost) > 0:
        own, spare = None if owners is None else owners[lost], 8 * spare
        again = queries[lost], points, k, own
        few = k + spare < most // 4
        chosen[lost] = _by_candidates(TorchSearch(), *again, spare) if few else _directly(*again)
    return chosen


def _clouds(queries: Tensor, points: Tensor, precision: torch.dtype) -> tuple[Cloud, Cloud]:
    """In this precision; in single precision near the origin, since errors grow with the distance from it."""
    if precision == torch.float32:
        some = points[:: 1 + len(points) // 1000]
        middle = some.mean(0)
        if 2 * middle.norm() > some.norm(dim=1).mean():
            queries, points = queries - middle, points - middle
    return _cloud(queries.to(precision)), _cloud(points.to(precision))


def _cloud(points: Tensor) -> Cloud:
    return Cloud(points, torch.linalg.vector_norm(points, dim=1).square_())


def _rounding(queries: Cloud, points: Cloud) -> Tensor:
    """By how much gaps between squared distances (N, 1) may be wrong that scalar products have given; these by half.

    A sum of d products is wrong by at most d roundings of the product of the lengths (Higham 2002, section 3.1).
    """
    roundings = 12 + points.points.shape[1]
    # Twice this is at least the square of the sum of the lengths.
    lengths = queries.squared_lengths + points.squared_lengths.max()
    return (lengths * (2 * roundings * torch.finfo(lengths.dtype).eps)).unsqueeze(1)


def _lowest(numbers: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The lowest of each row (N, n), rising, and their columns: of many, those with the lowest in their group first.

    A group holds a number of each strip of the row. No number outside the ``count`` groups with the lowest minima is
    below ``count`` numbers inside.
    """
    width = numbers.shape[1]
    length = width // STRIPS
    if not (32 * count <= width < 64 * count or width >= 256 * count):  # where torch sorts partially, it is as fast
        return numbers.topk(count, largest=False)
    groups = numbers[:, : STRIPS * length].unflatten(1, (STRIPS, length)).amin(1)
    first = groups.topk(count, largest=False, sorted=False).indices.unsqueeze(1)
    starts = torch.arange(0, STRIPS * length, length, device=numbers.device).view(1, STRIPS, 1)
    left = torch.arange(STRIPS * length, width, device=numbers.device).expand(len(numbers), -1)
    columns = torch.cat([(first + starts).flatten(1), left], dim=1)
    lowest, order = numbers.gather(1, columns).topk(count, largest=False)
    return lowest, columns.gather(1, order)


def _measured(queries: Tensor, points: Tensor, proposed: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances (rows, k) by the definition, and indices, of the nearest of the proposed (N, count) in these rows."""
    found = []
    for part in _portions(rows, 12 * proposed.shape[1] * points.shape[1]):
        indices = proposed[part]
        near = points.index_select(0, indices.flatten()).view(*indices.shape, -1).double()
        found.append(torch.linalg.vector_norm(near.sub_(queries[part].unsqueeze(1)), dim=2).float())
    return _by_index(torch.cat(found), proposed[rows], k)


def _directly(queries: Tensor, points: Tensor, k: int, owners: Tensor | None) -> Tensor:
    points, found = points.double(), []
    for rows in _portions(queries.double(), points.numel()):
        distances = torch.cdist(rows, points, compute_mode="donot_use_mm_for_euclid_dist").float()
        if owners is not None:
            own, owners = owners.split([len(rows), len(owners) - len(rows)])
            distances.scatter_(1, own.unsqueeze(1), torch.nan)  # which is farther than infinity
        lowest, indices = distances.topk(min(k + 1, len(points)), largest=False)
        if not (lowest[:, 1:] > lowest[:, :-1]).all():
            _, indices = _by_index(distances, torch.arange(len(points), device=points.device), k)
        found.append(indices[:, :k])
    return torch.cat(found)


SINGLE = torch.finfo(torch.float32).eps
INDEX = 2**32 - 1


def _by_index(distances: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k lowest of (distance, index) in each row (N, count), found as one integer each.

    The bits of a float that is not negative, read as an integer, rise with it, and those of NaN lie above all.
    """
    keys = ((distances.view(torch.int32).long() << 32) | indices).topk(k, dim=1, largest=False).values
    return (keys >> 32).int().view(torch.float32), keys & INDEX


def _portions(rows: Tensor, numbers: int, least: int = 1) -> tuple[Tensor, ...]:
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


@contextmanager
def _full_products(device: torch.device) -> Iterator[None]:
    """Matrix products in single precision, whatever the caller allows."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


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
