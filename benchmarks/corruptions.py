"""How fast images are corrupted: the 15 common corruptions at 5 severities, on 32x32 images, on one core.

    python -m benchmarks.corruptions --json benchmarks/results/speed/corruptions.json

Seconds are those that the processor worked, so that other processes hardly count; shown are medians over rounds. Float
images in [0, 1], as in a test. The reference implementation makes about 1,000 images per second and core in all.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.printing import align
from benchmarks.speed import circumstances, command_line, header, spread, take_turns, write_json
from corruptions import COMMON, SEVERITIES, Corruption, corruption

CLAIM = "Aims: all 15 at all severities at least 3,000 images per second and core together, and none below 2,000."
ALL, EACH = 3000, 2000


def worked(chosen: Sequence[Corruption], images: Tensor) -> float:
    """Seconds of the processor for all of these on the images."""
    indices = torch.arange(len(images))
    started = time.process_time()
    for each in chosen:
        each.apply(images, indices)
    return time.process_time() - started


def measure(count: int, rounds: int) -> list[dict[str, Any]]:
    """Images per second of each corruption over its severities, and of all together."""
    images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    contestants: dict[str, Callable[[], float]] = {
        name: partial(worked, [corruption(name, severity) for severity in SEVERITIES], images) for name in COMMON
    }
    times = take_turns(contestants, rounds)
    together = [sum(seconds) for seconds in zip(*times.values(), strict=True)]
    found = [figure(name, seconds, count * len(SEVERITIES), EACH) for name, seconds in times.items()]
    return [*found, figure("all", together, count * len(SEVERITIES) * len(times), ALL)]


def figure(name: str, seconds: Sequence[float], images: int, least: int) -> dict[str, Any]:
    """Images per second, and whether they are enough as far as their interval tells."""
    rate = spread([images / each for each in seconds])
    aim = "holds" if rate["low"] >= least else "is missed" if rate["high"] < least else "is not decided"
    return {"corruption": name, "images_per_second": rate, "least": least, "aim": aim}


def render(results: Sequence[dict[str, Any]]) -> str:
    """A line per corruption."""
    rows = [["corruption", "images/s", "95 % interval", "at least", "aim"]]
    for found in results:
        rate = found["images_per_second"]
        interval = f"{rate['low']:,.0f} – {rate['high']:,.0f}"
        rows.append([found["corruption"], f"{rate['median']:,.0f}", interval, f"{found['least']:,}", found["aim"]])
    return "\n".join(align(rows))


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = command_line("corruptions", __doc__)
    parser.add_argument("--images", type=int, default=500, help="in a batch")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    around = circumstances()
    results = measure(options.images, options.rounds)
    print(f"\n{header(CLAIM, around)}\n{render(results)}")
    write_json(options.json, {"claim": CLAIM, "images": options.images, "results": results, **around})


if __name__ == "__main__":
    main()
