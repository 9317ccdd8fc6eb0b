"""What the graph smoothness loss costs: a training step beside one with cross-entropy.

    python -m benchmarks.graph_smoothness --json benchmarks/results/speed/graph_smoothness.json

PreActResNet-18, batches of 100 images of 32x32: forward pass, loss, backward pass, step of SGD; and the losses alone,
on outputs of that size. Steps take turns; shown are medians over rounds with their 95 % interval.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.bare_loop import now
from benchmarks.printing import align
from benchmarks.speed import circumstances, command_line, header, judge, ratios, spread, take_turns, write_json
from criteria import GraphSmoothness
from networks import PreActResNet18

CLAIM = "Aim: a step with the graph smoothness loss at most 1.05 steps with cross-entropy."
BATCH = 100
LOSSES: Mapping[str, tuple[Callable[[], nn.Module], int]] = {
    "cross-entropy": (nn.CrossEntropyLoss, 10),
    "graph, all neighbours, d = 10": (GraphSmoothness, 10),
    "graph, all neighbours, d = 200": (GraphSmoothness, 200),
    "graph, 10 neighbours, d = 10": (partial(GraphSmoothness, k=10), 10),
}


def steps(device: torch.device, repeats: int) -> dict[str, Callable[[], float]]:
    """Training steps by loss, each with a network of its own; they return seconds per step."""
    images = torch.rand(BATCH, 3, 32, 32, device=device)
    labels = torch.arange(BATCH, device=device) % 10
    made = {}
    for name, (loss, width) in LOSSES.items():
        network = PreActResNet18(num_classes=width).to(device)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
        made[name] = repeated(partial(train, network, loss(), optimizer, images, labels), device, repeats)
    return made


def train(
    network: nn.Module, criterion: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> None:
    """One step."""
    optimizer.zero_grad()
    criterion(network(images), labels).backward()
    optimizer.step()


def losses(device: torch.device, repeats: int) -> dict[str, Callable[[], float]]:
    """The losses alone, forward and backward."""
    labels = torch.arange(BATCH, device=device) % 10
    made = {}
    for name, (loss, width) in LOSSES.items():
        outputs = torch.randn(BATCH, width, device=device, requires_grad=True)
        made[name] = repeated(partial(differentiate, loss(), outputs, labels), device, repeats)
    return made


def differentiate(criterion: nn.Module, outputs: Tensor, labels: Tensor) -> None:
    """Value and gradient of a loss."""
    torch.autograd.grad(criterion(outputs, labels), outputs)


def repeated(work: Callable[[], None], device: torch.device, repeats: int) -> Callable[[], float]:
    """Seconds per repetition."""

    def measure() -> float:
        now(device)
        started = time.perf_counter()
        for _ in range(repeats):
            work()
        return (now(device) - started) / repeats

    return measure


def compare(contestants: Mapping[str, Callable[[], float]], rounds: int) -> list[dict[str, Any]]:
    """Milliseconds of each, and its ratio to cross-entropy."""
    times = take_turns(contestants, rounds)
    first = times["cross-entropy"]
    found = []
    for name, seconds in times.items():
        ratio = ratios(seconds, first)
        milliseconds = spread([1000 * each for each in seconds])
        found.append({"loss": name, "ms": milliseconds, "ratio": ratio, "aim": judge(ratio, 1.05)})
    return found


def render(results: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """A line per loss and kind."""
    rows = [["what", "ms", "over cross-entropy", "at most 1.05"]]
    for kind, found in results.items():
        for one in found:
            ratio = one["ratio"]
            shown = f"{ratio['median']:.3f} ({ratio['low']:.3f} – {ratio['high']:.3f})"
            judged = one["aim"] if kind == "step" else ""
            rows.append([f"{kind}, {one['loss']}", f"{one['ms']['median']:.3f}", shown, judged])
    return "\n".join(align(rows))


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = command_line("graph_smoothness", __doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, help="steps in a row; 1 on the CPU and 20 on a GPU by default")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch on the CPU")
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    repeats = options.repeats or (20 if device.type == "cuda" else 1)
    around = circumstances(device.type)
    results = {
        "step": compare(steps(device, repeats), options.rounds),
        "loss": compare(losses(device, 20 * repeats), options.rounds),
    }
    print(f"\n{header(CLAIM, around)}\n{render(results)}")
    write_json(options.json, {"claim": CLAIM, "batch": BATCH, "repeats": repeats, "results": results, **around})


if __name__ == "__main__":
    main()
