"""Milliseconds per image of defences, of their peers and of networks behind them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from benchmarks.bare_loop import now
from benchmarks.defense_peers import Peer
from benchmarks.speed import judge, ratios, spread, take_turns
from defenses import Defense, PixelDeflection, RobustActivationMap, Sequence, Vote, WaveletDenoise

BATCH = {224: 16, 32: 256}  # pictures at once on a processor, or fewer if that would take too long
LONGEST = 0.2  # seconds of a measurement
SHORTEST = 0.05  # or work is repeated: what ran before has emptied the caches


@dataclass(frozen=True)
class Contest:
    """A defence beside its peers.

    Attributes:
        what: in words.
        ours: the defence.
        peers: by name; each takes one picture.
        times: the fastest peer is to take so many times as long as ours; None where nothing is claimed.
        note: instead of a claim.
        images_per_s: that ours are to reach on a GPU at 224 pixels; None where nothing is claimed.
    """

    what: str
    ours: Defense
    peers: Mapping[str, Peer] = field(default_factory=dict)
    times: float | None = None
    note: str = ""
    images_per_s: float | None = None


def pictures(size: int, count: int) -> Tensor:
    """Parts of scikit-learn's two photographs, (count, 3, size, size) in [0, 1]."""
    photographs = [torch.from_numpy(picture.copy()) for picture in load_sample_images().images]
    generator, parts = torch.Generator().manual_seed(0), []
    for number in range(count):
        photograph = photographs[number % 2]
        top, left = (int(torch.randint(side - size, (1,), generator=generator)) for side in photograph.shape[:2])
        parts.append(photograph[top : top + size, left : left + size])
    return torch.stack(parts).permute(0, 3, 1, 2).float().contiguous() / 255


def per_image(work: Callable[[], Any], count: int, device: torch.device, calls: int = 1) -> Callable[[], float]:
    """Work on so many images, done a few times, that returns the milliseconds it took for one.

    On a processor they are those that this process computed in: on one core the same as on a clock, but other processes
    on the machine do not count.
    """
    clock = time.process_time if device.type == "cpu" else partial(now, device)

    def measure() -> float:
        started = clock()
        for _ in range(calls):
            work()
        return (clock() - started) / (calls * count) * 1000

    return measure


def race(contest: Contest, size: int, rounds: int) -> dict[str, Any]:
    """Ours and every peer on one core, and ours over the fastest peer."""
    batch = pictures(size, BATCH[size])
    arrays = batch.permute(0, 2, 3, 1).contiguous().numpy()
    contestants = {"ours": _turn(contest.ours, batch)}
    contestants |= {name: _turn(partial(_each, peer), arrays) for name, peer in contest.peers.items()}
    times = take_turns(contestants, rounds)
    ms = {name: spread(figures) for name, figures in times.items()}
    result: dict[str, Any] = {"what": f"{contest.what}, {size}", "ms": ms, "aim": contest.note}
    if contest.peers:
        fastest = min(contest.peers, key=lambda name: ms[name]["median"])
        result |= {"beside": fastest, "ratio": ratios(times["ours"], times[fastest])}
        if contest.times:
            result |= {"most": 1 / contest.times, "aim": judge(result["ratio"], 1 / contest.times)}
    return result


def _turn(work: Callable[[Any], Any], batch: Any) -> Callable[[], float]:
    """Work on a batch, or on as much of it as does not take too long, that returns the milliseconds for one picture."""
    count = min(len(batch), max(1, int(LONGEST / _seconds(work, batch[:1]))))
    some = batch[:count]
    return per_image(partial(work, some), count, torch.device("cpu"), max(1, int(SHORTEST / _seconds(work, some))))


def _seconds(work: Callable[[Any], Any], batch: Any) -> float:
    """Of the faster of two calls, as the first one also sets things up."""
    call = per_image(partial(work, batch), 1, torch.device("cpu"))
    return min(call(), call()) / 1000


def _each(peer: Peer, arrays: Any) -> list[Any]:
    """All results, as ours are all there in the end."""
    return [peer(array) for array in arrays]


def on_gpu(contest: Contest, size: int, rounds: int, device: str = "cuda") -> dict[str, Any]:
    """Ours in large batches on a GPU."""
    cuda, count = torch.device(device), 16 * BATCH[size]
    batch = pictures(size, count).to(cuda)
    times = take_turns({"ours": per_image(partial(contest.ours, batch), count, cuda)}, rounds)
    ms = spread(times["ours"])
    result = {"what": f"{contest.what}, {size}", "ms": {"ours": ms}, "images_per_s": 1000 / ms["median"], "aim": ""}
    if size == 224 and contest.images_per_s:
        most = 1000 / contest.images_per_s
        result |= {"most": most, "aim": judge(ms, most)}
    return result


def inference(network: nn.Module, name: str, size: int, device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """Ten runs of the thesis's defence beside one, and an activation map beside a forward pass."""
    images = pictures(size, BATCH[size] * 4 if device.type == "cuda" else max(2, BATCH[size] // 8)).to(device)
    network, activation_map = network.eval().to(device), RobustActivationMap()
    activation_map.attach(network)
    defense = Sequence([PixelDeflection(100, 10, activation_map), WaveletDenoise()])
    contestants: dict[str, Callable[[], Any]] = {
        "a forward pass": partial(network, images),
        "a map": partial(activation_map, images),
        "one run": lambda: network(defense(images)),
        "ten runs": partial(Vote(defense, 10), network, images),
    }
    with torch.inference_mode():
        timed = {what: per_image(work, len(images), device) for what, work in contestants.items()}
        times = take_turns(timed, rounds)
    results = []
    for over, under, most in (("a map", "a forward pass", 1.2), ("ten runs", "one run", 10.5)):
        ratio = ratios(times[over], times[under])
        ms = {"ours": spread(times[over]), under: spread(times[under])}
        head = {"what": f"{over}, {name}", "ms": ms, "beside": under}
        results.append(head | {"ratio": ratio, "most": most, "aim": judge(ratio, most)})
    return results
