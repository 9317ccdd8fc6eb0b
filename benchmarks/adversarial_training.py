"""What training against an attack costs, beside the passes that it needs.

    python -m benchmarks.adversarial_training --json benchmarks/results/speed/adversarial_training.json

Within one training, a few steps with and a few without the attack take turns, and after each pair the attack's passes
are made alone. Shown are medians over rounds with their 95 % interval.
"""

from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from attacks import PGD, attackable
from attacks.fixed_budget import FixedBudget
from benchmarks.bare_loop import RandomImages
from benchmarks.pass_meter import Pass, Replay
from benchmarks.printing import align
from benchmarks.speed import circumstances, clock, command_line, header, judge, ratios, spread, write_json
from callbacks import AdversarialTraining
from lightning_modules import Classifier
from networks import CifarResNet

CLAIM = "Aim: adversarial training takes at most 1.1 times the attack's passes longer than standard training."
MOST = 1.1


class TakingTurns(AdversarialTraining):
    """Attacks in every other row of steps and times all rows, in seconds per step.

    Args:
        attack: with a fixed budget, whose steps take a forward pass and a gradient each.
        steps: in a row.
    """

    def __init__(self, attack: FixedBudget, steps: int) -> None:
        super().__init__(attack)
        self.steps, self.started = steps, 0.0
        self.times: dict[bool, list[float]] = {True: [], False: []}  # attacked or not
        self.passes: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx % self.steps == 0:
            self.started = clock(pl_module.device)
        if self.attacked(batch_idx):
            super().on_train_batch_start(trainer, pl_module, batch, batch_idx)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % self.steps:
            return
        self.times[self.attacked(batch_idx)].append((clock(pl_module.device) - self.started) / self.steps)
        if not self.attacked(batch_idx):
            self.passes.append(self.time_passes(pl_module, batch[0]))

    def attacked(self, batch_idx: int) -> bool:
        """Whether a step is one of those with the attack."""
        return batch_idx // self.steps % 2 == 0

    def time_passes(self, module: LightningModule, images: Tensor) -> float:
        """Seconds per step of what the attack needs."""
        one = [Pass("trace", len(images)), Pass("back", len(images))]
        replay = Replay(module, one * self.attack.steps, images)
        with attackable(module):
            started = clock(module.device)
            for _ in range(self.steps):
                replay.run()
            return (clock(module.device) - started) / self.steps


def measure(attack: FixedBudget, rounds: int, steps: int, batch: int) -> dict[str, Any]:
    """Milliseconds per step with and without, those of the passes, and what is added over these; ResNet-20."""
    turns = TakingTurns(attack, steps)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False, "num_sanity_val_steps": 0, "limit_val_batches": 0}
    trainer = Trainer(max_epochs=1, callbacks=[turns], devices=1, **quiet)
    trainer.fit(Classifier(CifarResNet(20)), RandomImages(batch * 2 * steps * (rounds + 1), batch_size=batch))
    attacked, plain, passes = (series[1:] for series in (turns.times[True], turns.times[False], turns.passes))
    added = [longer - shorter for longer, shorter in zip(attacked, plain, strict=True)]
    figure = ratios(added, passes)
    return {
        "attack": f"{type(attack).__name__}, {attack.steps} step{'s' * (attack.steps > 1)}",
        "batch": batch,
        "plain_ms": spread([1000 * one for one in plain]),
        "attacked_ms": spread([1000 * one for one in attacked]),
        "passes_ms": spread([1000 * one for one in passes]),
        "added_over_passes": figure,
        "aim": judge(figure, MOST),
    }


def render(results: Sequence[dict[str, Any]]) -> str:
    """A line per attack."""
    rows = [["per step: median (95 % interval)", "standard, ms", "attacked, ms", "passes, ms", "added / passes", "aim"]]
    for result in results:
        figures = [result[name] for name in ("plain_ms", "attacked_ms", "passes_ms", "added_over_passes")]
        texts = [f"{one['median']:.4g} ({one['low']:.4g} – {one['high']:.4g})" for one in figures]
        rows.append([f"{result['attack']}, batch {result['batch']}", *texts, result["aim"]])
    return "\n".join(align(rows))


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = command_line("adversarial_training", __doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of steps with and without the attack")
    parser.add_argument("--steps", type=int, default=2, help="of each in a row")
    parser.add_argument("--batch", type=int, default=128, help="images per step")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch on the CPU")
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    around = circumstances("cuda" if torch.cuda.is_available() else "cpu")
    attacks = [PGD(eps=8 / 255, step=2 / 255, steps=7), PGD(eps=8 / 255, step=10 / 255, steps=1)]
    results = [measure(attack, options.rounds, options.steps, options.batch) for attack in attacks]
    print(f"\n{header(CLAIM, around)}\n{render(results)}")
    write_json(options.json, {"claim": CLAIM, "results": results, **around})


if __name__ == "__main__":
    main()
