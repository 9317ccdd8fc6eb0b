"""What RePr costs: a training step, a cycle of pruning and re-initialising, and the greedy oracle.

    python -m benchmarks.repr_overhead --json benchmarks/results/speed/repr_overhead.json

Short trainings without RePr and with it take turns. Of the latter, steps with all filters and steps without some are
timed, and on their own the changes between them. Shown are medians over rounds with their 95 % interval. An aim is
decided only where the whole interval lies on one side of it.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from benchmarks.bare_loop import RandomImages, now
from benchmarks.printing import align
from benchmarks.speed import LEAST, circumstances, command_line, header, judge, ratios, spread, take_turns, write_json
from callbacks import RePr
from cli.memory import keep_freed_memory
from lightning_modules import Classifier
from networks import CifarResNet, CifarVGG16, VanillaConvNet
from pruning import (
    Evidence,
    GreedyOracle,
    Orthogonality,
    Site,
    bring_back,
    entries,
    find_sites,
    initial_norms,
    remove,
    select,
)
from pruning.oracle import outputs_without

CLAIM = (
    "Aims: a RePr epoch at most 1.03 standard epochs with C³(32) at batch 128; one prune and re-initialise of "
    "ResNet-110 and of VGG-16 below 1 s; the greedy oracle at least twice as fast as a validation pass per filter."
)
STEPS = 10  # in a row that are timed
ROWS = 2  # of either kind in a training; the first of each warms up
CYCLE = (20, 10)  # the paper's S1 and S2, in epochs
EPOCH = 352  # steps of 128 images, of CIFAR-10 without its 5,000 held-out images


class TimedRePr(RePr):
    """Times the changes between steps with all filters and steps without some, in seconds."""

    def __init__(self) -> None:
        super().__init__(30, STEPS + 1, STEPS + 1, ROWS, unit="step")
        self.changes: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        before, started = self.pruned, now(pl_module.device)
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if self.pruned != before:
            self.changes.append(now(pl_module.device) - started)


class StepTimer(Callback):
    """Times rows of steps, in seconds per step, without the first step of a row, in which filters may change.

    Attributes:
        rows: of a training; where RePr is at work, every other one lacks filters.
    """

    def __init__(self) -> None:
        self.rows: list[float] = []
        self.started = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        place = batch_idx % (STEPS + 1)
        if place == 0:
            self.started = now(pl_module.device)
        elif place == STEPS:
            self.rows.append((now(pl_module.device) - self.started) / STEPS)


def train(*callbacks: Callback) -> list[float]:
    """Seconds per step of a short training's rows."""
    timer, count = StepTimer(), 128 * (2 * (STEPS + 1) * ROWS + 1)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False, "num_sanity_val_steps": 0, "limit_val_batches": 0}
    trainer = Trainer(max_epochs=1, callbacks=[*callbacks, timer], **quiet)
    trainer.fit(Classifier(VanillaConvNet()), RandomImages(count, batch_size=128))
    return timer.rows


def time_round() -> tuple[float, float, float, float]:
    """Seconds of a step without RePr, with all filters and without some, and of filters that leave and return."""
    repr_ = TimedRePr()
    standard, rows = train(), train(repr_)
    leave, back = repr_.changes[2:4]
    return statistics.median(standard[2:]), rows[2], rows[3], leave + back


def time_steps(rounds: int) -> dict[str, Any]:
    """Milliseconds of a step without RePr and with it, and how many standard epochs a RePr epoch takes."""
    figures = [time_round() for _ in range(rounds)]
    names = ("standard_ms", "full_ms", "pruned_ms", "changes_ms")
    times = {name: spread([1000 * each for each in column]) for name, column in zip(names, zip(*figures))}
    return times | {"epoch_ratio": spread([epoch_ratio(*each) for each in figures])}


def epoch_ratio(standard: float, full: float, part: float, changes: float) -> float:
    """A cycle of RePr over as many standard epochs, from seconds per step and of both changes."""
    longer, shorter = (epochs * EPOCH for epochs in CYCLE)
    return (longer * full + shorter * part + changes) / ((longer + shorter) * standard)


def time_cycle(network: nn.Module, rounds: int) -> dict[str, float]:
    """Seconds to rank the filters of a network by orthogonality, drop 30 % and bring them back."""
    sites = find_sites(network, torch.zeros(1, 3, 32, 32)).sites
    norms = initial_norms(network, sites)
    return spread(take_turns({"cycle": timed(lambda: cycle(network, sites, norms))}, rounds)["cycle"])


def cycle(network: nn.Module, sites: Sequence[Site], norms: dict[str, float]) -> None:
    """Filters leave and return."""
    chosen = select(Orthogonality().importance(network, sites), 30)
    old = remove(network, entries(sites, chosen))
    bring_back(network, sites, chosen, old, norms, torch.Generator().manual_seed(0))


def time_oracle(rounds: int, images: int = 500) -> dict[str, Any]:
    """Seconds for all filters of C³(32): the oracle, and a pass over the images for each filter."""
    network = VanillaConvNet().eval()
    sites = find_sites(network, torch.zeros(1, 3, 32, 32)).sites
    batch = (torch.rand(images, 3, 32, 32), torch.randint(10, (images,)))
    contestants = {
        "oracle": timed(lambda: GreedyOracle().importance(network, sites, Evidence([batch]))),
        "passes": timed(lambda: pass_by_pass(network, sites, batch[0])),
    }
    times = take_turns(contestants, rounds)
    figures = {f"{name}_s": spread(seconds) for name, seconds in times.items()}
    shares = {"speedup": ratios(times["passes"], times["oracle"]), "share": ratios(times["oracle"], times["passes"])}
    return figures | shares


@torch.no_grad()
def pass_by_pass(network: nn.Module, sites: Sequence[Site], images: Tensor) -> None:
    """What the oracle saves."""
    for site in sites:
        for row in range(site.filters):
            outputs_without(network, site, row, images).argmax(1)


def timed(work: Callable[[], Any]) -> Callable[[], float]:
    """Work that returns the seconds it took."""

    def measure() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return measure


def measure(rounds: int) -> list[dict[str, Any]]:
    """All figures, each with its aim."""
    steps, oracle = time_steps(rounds), time_oracle(max(LEAST, rounds // 20))
    results = [{"what": "RePr epoch over standard epoch, C³(32)", "figure": steps["epoch_ratio"], "most": 1.03} | steps]
    for name, network in {"ResNet-110": CifarResNet(110), "VGG-16": CifarVGG16()}.items():
        seconds = time_cycle(network, max(LEAST, rounds // 2))
        results.append({"what": f"prune and re-initialise {name}, s", "figure": seconds, "most": 1.0})
    share = oracle.pop("share")
    results.append({"what": "oracle over a pass per filter, C³(32)", "figure": share, "most": 0.5} | oracle)
    return [result | {"aim": judge(result["figure"], result["most"])} for result in results]


def render(results: Sequence[dict[str, Any]]) -> str:
    """A line per figure."""
    rows = [["median (95 % interval)", "measured", "at most", "aim"]]
    for result in results:
        one = result["figure"]
        shown = f"{one['median']:.3f} ({one['low']:.3f} – {one['high']:.3f})"
        rows.append([result["what"], shown, f"{result['most']:g}", result["aim"]])
    return "\n".join(align(rows))


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = command_line("repr_overhead", __doc__)
    parser.add_argument("--rounds", type=int, default=40, help="of trainings without RePr and with it")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch on the CPU")
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as main.py does
    around = circumstances("cuda" if torch.cuda.is_available() else "cpu")
    results = measure(options.rounds)
    print(f"\n{header(CLAIM, around)}\n{render(results)}")
    write_json(options.json, {"claim": CLAIM, "results": results, **around})


if __name__ == "__main__":
    main()
