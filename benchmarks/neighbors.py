"""Nearest neighbours: ours, which are exact and the same everywhere, beside plain FAISS and plain torch.

    python -m benchmarks.neighbors --json benchmarks/results/speed/neighbors.json

The eleven nearest of n points on the sphere, in 10 and in 200 dimensions, for all of them or for 1,000; and for points
in ten clusters, as the embeddings of a trained network are. Plain searches leave the order of nearly equal distances to
rounding. Contestants take turns; ratios are medians over rounds, to the faster of the two plain ones in each round.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.printing import align
from benchmarks.speed import circumstances, clock, command_line, header, judge, ratios, spread, take_turns, write_json
from criteria.neighbor_searches import has_faiss
from criteria.neighbors import Backend, nearest_neighbors

CLAIM = "Aim: never more than 1.1 times as slow as the better of plain FAISS and plain torch, nor of our own backends."
K = 10
QUERIES = 1000
LEAST_TIME = 0.02  # seconds
SIZES = (100, 300, 1000, 3000, 10_000, 50_000)


def plain_torch(queries: Tensor, points: Tensor) -> None:
    """What one writes without thinking of ties."""
    torch.cdist(queries, points).topk(K + 1, largest=False)


def plain_faiss(queries: Tensor, points: Tensor) -> None:
    """FAISS on the CPU; points on a GPU are copied there and back."""
    import faiss

    faiss.knn(queries.cpu().numpy(), points.cpu().numpy(), K + 1)


def ours(queries: Tensor, points: Tensor, backend: Backend) -> None:
    """Exact, and the same from every backend."""
    nearest_neighbors(queries, points, K + 1, backend=backend)


def timed(work: Callable[[], None], device: str) -> Callable[[], float]:
    """Work that returns the seconds it took, the mean of as many calls in a row as fill LEAST_TIME.

    The first call of a row finds in the caches what the contestant before left there, which counts for small searches.
    """

    def seconds(calls: int) -> float:
        started = clock(torch.device(device))
        for _ in range(calls):
            work()
        return (clock(torch.device(device)) - started) / calls

    seconds(1)
    calls = 1 + int(LEAST_TIME / seconds(1))
    return partial(seconds, calls)


def sphere(count: int, width: int, clusters: int, device: str) -> Tensor:
    """Points of length one, drawn evenly or in clusters of radius 0.05."""
    generator = torch.Generator().manual_seed(count + width)
    points = F.normalize(torch.randn(count, width, generator=generator), dim=1)
    if clusters:
        centres = F.normalize(torch.randn(clusters, width, generator=generator), dim=1)
        points = F.normalize(centres[torch.arange(count) % clusters] + 0.05 * points, dim=1)
    return points.to(device)


def compare(count: int, width: int, clusters: int, rounds: int, device: str) -> dict[str, Any]:
    """Seconds of each contestant, and how much slower the automatic choice is than the better others."""
    points = sphere(count, width, clusters, device)
    queries = points[:QUERIES]
    backends: list[Backend] = ["auto", "torch", *(["faiss"] if has_faiss() else [])]  # type: ignore[list-item]
    works: dict[str, Callable[[], None]] = {name: partial(ours, queries, points, name) for name in backends}
    works |= {"plain torch": partial(plain_torch, queries, points)}
    works |= {"plain FAISS": partial(plain_faiss, queries, points)} if has_faiss() else {}
    times = take_turns({name: timed(work, device) for name, work in works.items()}, rounds)
    plain = [min(pair) for pair in zip(*(times[name] for name in works if name.startswith("plain")))]
    own = [min(pair) for pair in zip(*(times[name] for name in backends[1:]))]
    figures = {"to_plain": ratios(times["auto"], plain), "to_own": ratios(times["auto"], own)}
    aims = {f"aim_{name}": judge(figure, 1.1) for name, figure in figures.items()}
    about = {"n": count, "d": width, "clusters": clusters, "queries": len(queries)}
    return (
        about | {f"{name}_ms": spread([1000 * s for s in seconds]) for name, seconds in times.items()} | figures | aims
    )


def render(results: Sequence[dict[str, Any]]) -> str:
    """A line per size."""
    names = [key for key in results[0] if key.endswith("_ms")]
    head = ["n × d", *(f"{name.removesuffix('_ms')}, ms" for name in names), "to plain", "to our own"]
    rows = [head]
    for found in results:
        kind = f"{found['n']:,} × {found['d']}" + (", clusters" if found["clusters"] else "")
        times = [f"{found[name]['median']:.2f}" for name in names]
        shown = [
            f"{found[key]['median']:.2f} ({found[key]['low']:.2f} – {found[key]['high']:.2f})"
            for key in ("to_plain", "to_own")
        ]
        rows.append([kind, *times, *shown])
    return "\n".join(align(rows))


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = command_line("neighbors", __doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch and FAISS on the CPU")
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    if has_faiss():
        import faiss

        faiss.omp_set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    around = circumstances(device)
    cases = [(n, d, c) for c in (0, 10) for d in (10, 200) for n in options.sizes]
    results = [compare(n, d, c, options.rounds, device) for n, d, c in cases]
    print(f"\n{header(CLAIM, around)}\n{render(results)}")
    write_json(options.json, {"claim": CLAIM, "results": results, **around})


if __name__ == "__main__":
    main()
