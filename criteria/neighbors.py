"""Exact nearest neighbours, the same ones whoever finds them."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from criteria.embeddings import full_precision

Backend = Literal["auto", "direct", "torch", "faiss"]

SPARE = 6  # candidates beyond those asked for, among which rounding cannot hide a neighbour
DIRECT = 200_000  # coordinates compared, up to which the plain way is fastest; see benchmarks.neighbors
FAISS = (64, 500_000)  # coordinates and pairs on the CPU, from which FAISS is faster than scalar products
PORTION = {"cpu": 2**22, "cuda": 2**27}  # numbers that are held at a time


@torch.no_grad()
def nearest_neighbors(
    queries: Tensor, points: Tensor, k: int, skip_self: bool = False, backend: Backend = "auto"
) -> Tensor:
    """Indices (N, k) of the nearest points by Euclidean distance, the nearest first, equal distances by index.

    Distances are computed in double precision and compared in single precision. FAISS and scalar products only propose
    candidates; where their rounding might have lost a neighbour, all points are looked at. So all backends give the
    same neighbours. No gradient; take it through distances to the points found.

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
    if not (queries.isfinite().all() and points.isfinite().all()):
        raise ValueError("embeddings are NaN or infinite, so they have no neighbours: lower the learning rate")
    return _by_candidates(search, queries, points, k, owners, torch.float32)


class Search(ABC):
    """Proposes candidates, quickly and with rounding errors."""

    @abstractmethod
    def candidates(self, queries: Tensor, points: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Squared distances (N, count), rounded, and the indices of these points.

        Args:
            queries: (N, d).
            points: (n, d), of the same type, float32 for FAISS.
            count: at most n.
        """


class TorchSearch(Search):
    """Scalar products on the device of the points, for a portion of the queries at a time."""

    def candidates(self, queries: Tensor, points: Tensor, count: int) -> tuple[Tensor, Tensor]:
        lengths = points.square().sum(1)
        found = []
        with _full_products(points.device):
            for part in _portions(queries, len(points)):
                distances = torch.addmm(lengths, part, points.T, alpha=-2)
                found.append(distances.topk(count, largest=False, sorted=False))
        squared, indices = (torch.cat(parts) for parts in zip(*found))
        return squared + queries.square().sum(1, keepdim=True), indices


class FaissSearch(Search):
    """FAISS, on the GPU where the points are and its build finds one, else on the CPU."""

    def candidates(self, queries: Tensor, points: Tensor, count: int) -> tuple[Tensor, Tensor]:
        faiss = _faiss()
        queries, points = queries.contiguous(), points.contiguous()
        if points.is_cuda and faiss.get_num_gpus() > 0:
            importlib.import_module("faiss.contrib.torch_utils")  # lets FAISS read tensors on the GPU
            device = points.device.index or 0
            squared, indices = faiss.knn_gpu(_gpu_resources(device), queries, points, count, device=device)
        else:
            squared, indices = map(torch.from_numpy, faiss.knn(queries.cpu().numpy(), points.cpu().numpy(), count))
        if (indices < 0).any():
            raise RuntimeError("FAISS found no neighbour for some points: report this, with the version of FAISS")
        return squared.to(points.device), indices.to(points.device)


def choose(backend: Backend, queries: Tensor, points: Tensor) -> Search | None:
    """The search for this many points; None compares all coordinates directly."""
    pairs = len(queries) * len(points)
    if backend == "auto":
        if pairs * points.shape[1] <= DIRECT:
            return None
        large = points.shape[1] >= FAISS[0] and pairs >= FAISS[1]
        return FaissSearch() if large and points.device.type == "cpu" and has_faiss() else TorchSearch()
    if backend not in ("direct", "torch", "faiss"):
        raise ValueError(f"backend={backend!r} is unknown: give auto, direct, torch or faiss")
    return {"direct": None, "torch": TorchSearch(), "faiss": FaissSearch()}[backend]


@lru_cache
def has_faiss() -> bool:
    """Whether FAISS is installed."""
    return importlib.util.find_spec("faiss") is not None


def _by_candidates(
    search: Search, queries: Tensor, points: Tensor, k: int, owners: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """Rows whose distances lie further apart than rounding reaches are right as proposed; others are looked at again.

    Args:
        search: proposes candidates.
        queries: (N, d).
        points: (n, d).
        k: how many are wanted.
        owners: (N,) the point that each query is, if any, and that does not count.
        dtype: the precision of the proposals.
    """
    count = min(len(points), k + SPARE + (owners is not None))
    wide = torch.promote_types(points.dtype, dtype)
    middle = points.mean(0).to(wide)  # rounding errors grow with the distance from the origin
    centred, around = ((each.to(wide) - middle).to(dtype) for each in (queries, points))
    squared, proposed = search.candidates(centred, around, count)
    error = _rounding(centred, around)
    if owners is not None:
        squared = squared.masked_fill(proposed == owners.unsqueeze(1), torch.inf)
    squared, order = squared.sort(dim=1)
    proposed = proposed.gather(1, order)
    chosen = proposed[:, :k].contiguous()
    gaps = squared[:, 1 : k + 1] - squared[:, :k]
    apart = (gaps > 2 * error.unsqueeze(1)).all(1) & (dtype == torch.float32)  # else equal in single precision
    unsure = (~apart).nonzero().squeeze(1)
    # What was not proposed is at least as far as the last one that was.
    farthest = squared.masked_fill(squared.isinf(), 0).amax(1)
    last = farthest if count < len(points) else torch.full_like(farthest, torch.inf)
    for rows in _portions(unsure, count * points.shape[1]):
        own = None if owners is None else owners[rows]
        distances = _squared_distances(queries[rows].unsqueeze(1), points[proposed[rows]]).squeeze(1)
        keys = _nearest_keys(distances, proposed[rows], k, own)
        chosen[rows] = keys & INDEX
        lost = _distances_of(keys[:, -1]) >= (last - error)[rows].float()
        if lost.any():
            rows, own = rows[lost], None if own is None else own[lost]
            if dtype == torch.double:
                chosen[rows] = _directly(queries[rows], points, k, own)
            else:
                chosen[rows] = _by_candidates(TorchSearch(), queries[rows], points, k, own, torch.double)
    return chosen


def _directly(queries: Tensor, points: Tensor, k: int, owners: Tensor | None) -> Tensor:
    indices = torch.arange(len(points), device=points.device).unsqueeze(0)
    found = []
    for rows in _portions(torch.arange(len(queries), device=points.device), len(points)):
        exact = _squared_distances(queries[rows], points)
        keys = _nearest_keys(exact, indices, k, None if owners is None else owners[rows])
        found.append(keys & INDEX)
    return torch.cat(found)


INDEX = 2**32 - 1


def _nearest_keys(squared: Tensor, indices: Tensor, k: int, owners: Tensor | None) -> Tensor:
    """The k lowest of (distance, index) in each row, as one integer each.

    The bits of a float that is not negative, read as an integer, rise with it, and those of NaN lie above all.
    """
    keys = (squared.view(torch.int32).long() << 32) | indices
    if owners is not None:
        keys = keys.masked_fill(indices == owners.unsqueeze(1), 2**63 - 1)
    return keys.topk(k, dim=1, largest=False).values


def _distances_of(keys: Tensor) -> Tensor:
    return (keys >> 32).int().view(torch.float32)


def _squared_distances(queries: Tensor, points: Tensor) -> Tensor:
    """Correct to single precision, of queries (..., N, d) to points (..., m, d): (..., N, m)."""
    mode = "donot_use_mm_for_euclid_dist"
    distances: Tensor = torch.cdist(queries.double(), points.double(), compute_mode=mode)
    return distances.square().float()


def _rounding(queries: Tensor, points: Tensor) -> Tensor:
    """By how much squared distances (N,) may be wrong that are computed from scalar products in this precision."""
    longest: Tensor = queries.norm(dim=1) + points.norm(dim=1).max()
    return torch.finfo(points.dtype).eps / 2 * (12 + points.shape[1]) * longest.square()


def _portions(rows: Tensor, numbers: int) -> tuple[Tensor, ...]:
    """Parts of the rows, for each of which so many numbers are computed."""
    most = PORTION.get(rows.device.type, PORTION["cpu"])
    parts: tuple[Tensor, ...] = rows.split(max(1, most // max(1, numbers)))
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
