"""Exact nearest neighbours, the same ones whoever finds them."""

from typing import Literal

import torch
from torch import Tensor

from criteria.embeddings import full_precision
from criteria.neighbor_searches import (
    NOT_FINITE,
    Cloud,
    FaissSearch,
    Search,
    TorchSearch,
    has_faiss,
    portions,
    rounding,
)

Backend = Literal["auto", "direct", "torch", "faiss"]

DIRECT = 40_000  # coordinates compared, up to which the plain way is fastest; see benchmarks.neighbors
DOUBLE = (64, 2**28)  # coordinates, or products in all, below which double precision costs less than doubts
FAISS = 500_000  # pairs from which FAISS is faster in single precision, on a CPU without AVX-512; with it torch is


SINGLE = torch.finfo(torch.float32).eps
INDEX = 2**32 - 1  # the lower half of an integer


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
        queries: (N, d), finite.
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
    if search is None or most == 1 or not len(queries):
        return _directly(queries, points, k, owners)
    return _by_candidates(search, queries, points, k, owners, search.spare(len(points)))


def choose(backend: Backend, queries: Tensor, points: Tensor) -> Search | None:
    """The search for this many points; None compares all coordinates directly."""
    pairs, width = len(queries) * len(points), points.shape[1]
    if backend == "auto" and pairs * width <= DIRECT:
        return None
    by_products = TorchSearch(torch.double if width < DOUBLE[0] or pairs * width <= DOUBLE[1] else torch.float32)
    if backend == "auto":
        single = by_products.precision == torch.float32
        wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
        faster = single and pairs >= FAISS and points.device.type == "cpu" and not wide
        return FaissSearch() if faster and has_faiss() else by_products
    if backend not in ("direct", "torch", "faiss"):
        raise ValueError(f"backend={backend!r} is unknown: give auto, direct, torch or faiss")
    return {"direct": None, "torch": by_products, "faiss": FaissSearch()}[backend]


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
    error = rounding(*clouds)
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


def _measured(queries: Tensor, points: Tensor, proposed: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances (rows, k) by the definition, and indices, of the nearest of the proposed (N, count) in these rows."""
    found = []
    for part in portions(rows, 12 * proposed.shape[1] * points.shape[1]):
        indices = proposed[part]
        near = points.index_select(0, indices.flatten()).view(*indices.shape, -1).double()
        found.append(torch.linalg.vector_norm(near.sub_(queries[part].unsqueeze(1)), dim=2).float())
    return _by_index(torch.cat(found), proposed[rows], k)


def _directly(queries: Tensor, points: Tensor, k: int, owners: Tensor | None) -> Tensor:
    queries, points, found = queries.double(), points.double(), []
    places = torch.arange(len(points), device=points.device)
    for rows in portions(queries, points.numel()):
        distances = torch.cdist(rows, points, compute_mode="donot_use_mm_for_euclid_dist").float()
        if owners is not None:
            own, owners = owners.split([len(rows), len(owners) - len(rows)])
            distances.scatter_(1, own.unsqueeze(1), torch.nan)  # which is farther than infinity
        found.append(_by_index(distances, places, k)[1])
    if not (queries.sum() + points.sum()).isfinite() and not (queries.isfinite().all() and points.isfinite().all()):
        raise ValueError(NOT_FINITE)  # and not where only a sum overflowed
    return torch.cat(found)


def _by_index(distances: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k lowest of (distance, index) in each row (N, count), found as one integer each.

    The bits of a float that is not negative, read as an integer, rise with it, and those of NaN lie above all.
    """
    keys = distances.view(torch.int32).long().bitwise_left_shift_(32).bitwise_or_(indices)
    keys = keys.topk(k, dim=1, largest=False).values
    return (keys >> 32).int().view(torch.float32), keys.bitwise_and_(INDEX)
