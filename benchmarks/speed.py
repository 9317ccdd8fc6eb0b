"""What speed benchmarks share: contestants take turns, and every ratio comes from one run on one machine."""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil, floor
from pathlib import Path
from typing import Any

import torch

from callbacks.reporting.environment import describe_code, describe_hardware, describe_versions

Times = dict[str, list[float]]  # one figure per repetition, for each contestant
LEAST = 6  # figures without which no interval between two of them holds the median with 95 %


def command_line(name: str, description: str | None) -> argparse.ArgumentParser:
    """The command line of a benchmark, with the option that all have."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, help="file that keeps the figures")
    return parser


def clock(device: torch.device) -> float:
    """Seconds, after the device has done what it was told.

    On one thread of the CPU these are the processor's for this process, so that no other one counts.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()


def take_turns(contestants: Mapping[str, Callable[[], float]], repeats: int, warm_ups: int = 1) -> Times:
    """Measure A B C, C B A, … so that a busy machine slows all of them alike, and none always follows the same other.

    Args:
        contestants: each measures itself once and returns the figure.
        repeats: figures per contestant.
        warm_ups: rounds before, of which no figure is kept.
    """
    times: Times = {name: [] for name in contestants}
    names = list(contestants)
    for round_ in range(repeats + warm_ups):
        for name in reversed(names) if round_ % 2 else names:
            figure = contestants[name]()
            if round_ >= warm_ups:
                times[name].append(figure)
    return times


def spread(figures: Sequence[float]) -> dict[str, float]:
    """Median with its 95 % interval, which no distribution is assumed for; smallest and largest; how many there are.

    The interval runs between the order statistics that the median of so many independent figures lies between. Of fewer
    than six figures it is all that they span, and too narrow.
    """
    ordered, count = sorted(figures), len(figures)
    reach = 0.98 * count**0.5  # 1.96 standard deviations of how many figures fall below the median
    low, high = max(0, floor(count / 2 - reach)), min(count - 1, ceil(count / 2 + reach))
    interval = {"low": ordered[low], "high": ordered[high]}
    return {"median": statistics.median(ordered), **interval, "min": ordered[0], "max": ordered[-1], "figures": count}


def judge(figure: Mapping[str, float], most: float) -> str:
    """Whether a median is at most so large, as far as its interval tells."""
    if figure["figures"] < LEAST:
        return "is not decided"
    if figure["high"] <= most:
        return "holds"
    return "is missed" if figure["low"] > most else "is not decided"


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> dict[str, float]:
    """Ratios of figures that were measured in the same round."""
    return spread([over / under for over, under in zip(numerators, denominators, strict=True)])


def differences(figures: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Differences of figures that were measured in the same round."""
    return spread([figure - other for figure, other in zip(figures, others, strict=True)])


def circumstances(device: str = "cpu") -> dict[str, Any]:
    """What the figures depend on; the load is the number of busy processes on the machine before the start."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": describe_hardware(torch.device(device)),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "versions": describe_versions(),
        "code": describe_code(Path(__file__)),
    }


def header(claim: str, around: Mapping[str, Any]) -> str:
    """What is claimed, and on what it is measured."""
    hardware, versions = around["hardware"], around["versions"]
    names = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "torchvision", "lightning"))
    device = ", ".join(hardware["gpus"]) or f"{hardware['cpu']}, {hardware['cores']} cores"
    return f"{claim}\n{device}; {around['threads']} thread(s), load before the start {around['load']}; {names}\n"


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Keep the figures, if a file is named."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
