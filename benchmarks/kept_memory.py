"""A training step on a CPU in processes that keep freed memory, as ours do, and in such that hand it back.

    python -m benchmarks.kept_memory --json benchmarks/results/speed/kept_memory.json

Each figure is the median of some steps in a process of its own, on one thread, with the channels last. The processes of
both kinds take turns.
"""

import argparse
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.printing import align
from benchmarks.speed import circumstances, clock, command_line, header, judge, ratios, spread, take_turns, write_json
from cli.memory import SETTINGS, keep_freed_memory
from networks import CifarResNet, TorchvisionClassifier, VanillaConvNet

CLAIM = "Aim: a step takes at most 0.9 of the time, and the process at most 1.1 of the memory."
MOST_TIME, MOST_MEMORY = 0.9, 1.1


@dataclass(frozen=True)
class Subject:
    """What is trained.

    Attributes:
        network: makes it.
        batch: images of a step.
        size: their height and width.
    """

    network: Callable[[], nn.Module]
    batch: int
    size: int


def squeezenet() -> nn.Module:
    """SqueezeNet 1.0 for 1,000 classes."""
    return TorchvisionClassifier("squeezenet1_0", mean=[0.5] * 3, std=[0.25] * 3, num_classes=1000)


SUBJECTS = {
    "C³(32), 128 images of 32x32": Subject(VanillaConvNet, 128, 32),
    "ResNet-20, 128 images of 32x32": Subject(lambda: CifarResNet(20), 128, 32),
    "SqueezeNet, 16 images of 224x224": Subject(squeezenet, 16, 224),
}


def time_steps(subject: Subject, steps: int) -> tuple[float, float]:
    """Milliseconds of the median step after two others, and the MiB that this process took at most."""
    network = subject.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, labels = torch.rand(subject.batch, 3, subject.size, subject.size), torch.arange(subject.batch) % 10
    times = []
    for _ in range(steps + 2):
        started = clock(images.device)
        network.zero_grad()
        cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        times.append(1000 * (clock(images.device) - started))
    return statistics.median(times[2:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_a_process(name: str, keep: bool, steps: int) -> tuple[float, float]:
    """The same, in a new process."""
    words = [sys.executable, "-m", "benchmarks.kept_memory", "--only", name, "--steps", str(steps)]
    words += ["--child", "keeps" if keep else "returns"]
    time, memory = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return float(time), float(memory)


def measure(name: str, rounds: int, steps: int) -> dict[str, Any]:
    """Both kinds of processes in turns."""
    memory: dict[bool, list[float]] = {True: [], False: []}

    def run(keep: bool) -> float:
        time, most = in_a_process(name, keep, steps)
        memory[keep].append(most)
        return time

    times = take_turns({"kept": lambda: run(True), "returned": lambda: run(False)}, rounds, warm_ups=0)
    time, size = ratios(times["kept"], times["returned"]), ratios(memory[True], memory[False])
    return {
        "subject": name,
        "kept_ms": spread(times["kept"]),
        "returned_ms": spread(times["returned"]),
        "time": time,
        "memory": size,
        "aims": [judge(time, MOST_TIME), judge(size, MOST_MEMORY)],
    }


def render(results: Sequence[dict[str, Any]]) -> str:
    """A line per network."""
    rows = [["a training step: median (95 % interval)", "returned, ms", "kept, ms", "time", "memory", "aims"]]
    for result in results:
        figures = [result[name] for name in ("returned_ms", "kept_ms", "time", "memory")]
        texts = [f"{one['median']:.3g} ({one['low']:.3g} – {one['high']:.3g})" for one in figures]
        rows.append([result["subject"], *texts, ", ".join(result["aims"])])
    return "\n".join(align(rows))


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = command_line("kept_memory", __doc__)
    parser.add_argument("--only", nargs="*", choices=list(SUBJECTS), default=list(SUBJECTS), help="some networks")
    parser.add_argument("--rounds", type=int, default=7, help="processes of each kind")
    parser.add_argument("--steps", type=int, default=7, help="per process")
    parser.add_argument("--child", choices=["keeps", "returns"], help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    if options.child:
        if options.child == "keeps" and not keep_freed_memory():
            raise SystemExit(f"nothing is kept here: this needs glibc, and none of {', '.join(SETTINGS)} set")
        return print(*time_steps(SUBJECTS[options.only[0]], options.steps))
    around = circumstances()
    results = [measure(name, options.rounds, options.steps) for name in options.only]
    print(f"\n{header(CLAIM, around)}\n{render(results)}")
    write_json(options.json, {"claim": CLAIM, "results": results, **around})


if __name__ == "__main__":
    main()
