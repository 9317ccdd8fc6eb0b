"""What a training step costs besides the network: our shipped defaults against a loop written by hand.

    python -m benchmarks.trainer_overhead --json benchmarks/results/speed/trainer_overhead.json

The trainer is the one that ``main.py fit`` makes: logger, checkpoints, report, progress, counts of loss and accuracy.
The bare loop has the same network, loader and optimiser, and counts and logs nothing. Both train in one process in
turns, a few steps each; start-up, validation and checkpoints are not timed.

Shown are medians over the rounds with their 95 % interval; the two loops of a round are compared with each other. An
aim is decided only where the whole interval lies on one side of it: on a busy machine, take more rounds or wait.
"""

import json
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from benchmarks.bare_loop import BesideBareLoop
from benchmarks.printing import align
from benchmarks.speed import circumstances, command_line, differences, header, judge, ratios, spread, write_json
from cli import rooms  # noqa: F401  (so that configs may name classes without their package)
from cli.command_line import CommandLine

CLAIM = "Aim: at most 0.7 ms more per step with a null network, and 3 % more with C³(32), at batch 128 on one CPU core."


@dataclass(frozen=True)
class Subject:
    """A network to measure with.

    Attributes:
        name: for people.
        network: class path and options.
        steps: of each loop in a round.
        judged: the figure that an aim is set for, ``added_ms`` or ``ratio`` to the bare loop.
        most: its largest value that meets the aim.
    """

    name: str
    network: dict[str, Any]
    steps: int
    judged: str
    most: float


NULL = Subject("null network", {"class_path": "benchmarks.bare_loop.NullNetwork"}, 50, "added_ms", 0.7)
SMALL = Subject("C³(32)", {"class_path": "VanillaConvNet", "init_args": {"depth": 3, "width": 32}}, 5, "ratio", 1.03)


def write_config(subject: Subject, rounds: int, batch: int, folder: Path) -> Path:
    """The config of a run of one epoch, with our defaults wherever nothing must be said."""
    augmentations = [{"class_path": "RandomCrop", "init_args": {"padding": 4}}, {"class_path": "RandomFlip"}]
    data = {"count": (rounds + 1) * subject.steps * batch, "batch_size": batch, "augmentations": augmentations}
    beside = {"class_path": "benchmarks.bare_loop.BesideBareLoop", "init_args": {"steps": subject.steps}}
    config = {
        "data": {"class_path": "benchmarks.bare_loop.RandomImages", "init_args": data},
        "model": {"class_path": "Classifier", "init_args": {"network": subject.network}},
        "trainer": {
            "max_epochs": 1,
            "logger": {"init_args": {"save_dir": str(folder)}},
            "callbacks+": [beside],
        },
    }
    path = folder / "overhead.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def measure(subject: Subject, rounds: int, batch: int = 128) -> dict[str, Any]:
    """Milliseconds per step of both, and what the trainer adds."""
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(subject, rounds, batch, Path(folder))
        with redirect_stdout(StringIO()):  # no terminal: one plain line per epoch, as in a log file
            trainer: Any = CommandLine(["fit", "-c", str(config)]).trainer
    (beside,) = (callback for callback in trainer.callbacks if isinstance(callback, BesideBareLoop))
    bare, trained = ([1000 * seconds for seconds in series] for series in (beside.bare, beside.trained))
    return summarise(subject, bare, trained)


def summarise(subject: Subject, bare: list[float], trained: list[float]) -> dict[str, Any]:
    """Figures of both and whether the aim holds; milliseconds per step, one of each per round."""
    figures = {
        "bare_ms": spread(bare),
        "trainer_ms": spread(trained),
        "added_ms": differences(trained, bare),
        "ratio": ratios(trained, bare),
    }
    about = {"network": subject.name, "rounds": len(bare), "steps_per_round": subject.steps}
    return {**about, **figures, "aim": judge(figures[subject.judged], subject.most)}


def render(results: Sequence[dict[str, Any]]) -> str:
    """A line per network."""
    rows = [["per step: median (95 % interval)", "bare, ms", "trainer, ms", "added, ms", "ratio", "aim"]]
    for result in results:
        figures = [result[name] for name in ("bare_ms", "trainer_ms", "added_ms", "ratio")]
        texts = [f"{one['median']:.3f} ({one['low']:.3f} – {one['high']:.3f})" for one in figures]
        rows.append([result["network"], *texts, result["aim"]])
    return "\n".join(align(rows))


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = command_line("trainer_overhead", __doc__)
    parser.add_argument("--rounds", type=int, default=120, help="that are measured of each network")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch on the CPU")
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", "LightningCLI's args parameter|The `srun` command")  # not about this run
    around = circumstances("cuda" if torch.cuda.is_available() else "cpu")
    results = [measure(subject, options.rounds) for subject in (NULL, SMALL)]
    print(f"\n{header(CLAIM, around)}\n{render(results)}")
    write_json(options.json, {"claim": CLAIM, "results": results, **around})


if __name__ == "__main__":
    main()
