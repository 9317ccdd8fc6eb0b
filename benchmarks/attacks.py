"""Speed and strength of the attacks beside other libraries, on the same trained network in the same process.

    python -m benchmarks.attacks --weights resnet20.th --images cifar10.npz --json attacks.json

Every contestant gets the same images, which the network recognises, and the same settings; who is not installed is
named and left out. Its passes through the network are written down once, then the attack and these passes alone are
timed in turns: their ratio says what an attack costs beyond them. Success and distances are judged by the network.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.attack_bouts import BOUTS, Aim, Bout, Subject, Verdict, verdict
from benchmarks.attack_peers import Run, Runs, installed
from benchmarks.pass_meter import PassMeter, Replay, images_through
from benchmarks.printing import align
from benchmarks.speed import (
    LEAST,
    circumstances,
    clock,
    command_line,
    header,
    judge,
    ratios,
    spread,
    take_turns,
    write_json,
)
from networks import IMAGENET_MEAN, IMAGENET_STD, CifarResNet

CLAIM = (
    "Aims: time over the time of the passes at most 1.10; PGD that stops on success at most half the time of the "
    "fastest peer, DeepFool and C&W at most all of it at a mean L2 within 1 %, JSMA a fifth of torchattacks', the "
    "universal perturbation 1/1.3 of a sequential loop's and a twentieth of ART's, always at equal success or more."
)
OVERHEAD = 1.10
MOST_ROUNDS = 30
HELD_OUT = 500  # images at least that judge a universal perturbation
WITHIN = 0.01  # by which a rival may fool fewer images or take larger distances and still be one


class Contestant:
    """One way to run an attack: what it achieves, the passes that it makes, and its time.

    Args:
        run: the attack.
        bout: its settings.
        subject: whom it attacks.
        count: number of images.
    """

    def __init__(self, run: Run, bout: Bout, subject: Subject, count: int) -> None:
        self.attack, self.network = run, subject.network
        images, labels = subject.images[:count], subject.labels[:count]
        if bout.kind == "universal":
            images, labels = subject.crafting[:count], torch.zeros(count, dtype=torch.long)
        self.images, self.labels, self.targets = images, labels, (labels + 1) % 10
        meter = PassMeter(subject.network).eval()
        torch.manual_seed(0)
        started = clock(images.device)
        made = run(meter, images, labels, self.targets).detach()
        self.seconds = clock(images.device) - started
        self.verdict: Verdict = verdict(bout, subject, made, labels, self.targets, images)
        self.replay = Replay(subject.network, meter.passes, images)

    def time_attack(self) -> float:
        """Seconds of the attack."""
        torch.manual_seed(0)
        return timed(lambda: self.attack(self.network, self.images, self.labels, self.targets), self.images.device)

    def time_passes(self) -> float:
        """Seconds of its passes alone."""
        return timed(self.replay.run, self.images.device)

    def figures(self, seconds: Sequence[float], alone: Sequence[float]) -> dict[str, Any]:
        """All that is reported, from one figure per round each."""
        count, success = len(self.images), self.verdict.success
        forwards, backwards = images_through(self.replay.passes)
        return {
            "images_per_s": spread([count / one for one in seconds]),
            "overhead": ratios(seconds, alone),
            "success": mean(success.double()),
            "l2": mean(self.verdict.l2[success]),
            "linf": mean(self.verdict.linf[success]),
            "forward_passes": forwards / count,
            "backward_passes": backwards / count,
            "calls": len(self.replay.passes),
        }


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of some work on a device."""
    started = clock(device)
    work()
    return clock(device) - started


def mean(values: Tensor) -> float | None:
    """The mean, or nothing where there is none."""
    return float(values.mean()) if len(values) else None


def measure(bout: Bout, subject: Subject, count: int, peers: Mapping[str, Runs], budget: float) -> dict[str, Any]:
    """One attack by all who have it; the rounds take about so many seconds, and are six at least."""
    runs = bout.ours | {name: runs[bout.key] for name, runs in peers.items() if bout.key in runs}
    contestants = {name: Contestant(run, bout, subject, count) for name, run in runs.items()}
    turns: dict[str, Callable[[], float]] = {}
    # An attack and its passes come one after the other, so that both meet the same machine.
    for name, one in contestants.items():
        turns |= {name: one.time_attack, f"{name}, passes": one.time_passes}
    rounds = int(budget / (2 * sum(one.seconds for one in contestants.values())))
    times = take_turns(turns, repeats=min(max(rounds, LEAST), MOST_ROUNDS), warm_ups=0)
    figures = {name: one.figures(times[name], times[f"{name}, passes"]) for name, one in contestants.items()}
    for name in bout.ours:
        if name.startswith("Assay"):
            figures[name]["aim"] = judge(figures[name]["overhead"], OVERHEAD)
    aims = [result for aim in bout.aims for result in compare(aim, bout, contestants, times)]
    return {"attack": bout.title, "images": len(next(iter(contestants.values())).images)} | {
        "contestants": figures,
        "aims": aims,
    }


def compare(
    aim: Aim, bout: Bout, contestants: Mapping[str, Contestant], times: Mapping[str, list[float]]
) -> list[dict[str, Any]]:
    """Our time over that of the fastest rival, with what both achieve; nothing where there is no rival."""
    ours = contestants[aim.ours]
    peers = [name for name in contestants if name not in bout.ours and rival(ours, contestants[name], bout.minimal)]
    rivals = [name for name in aim.rivals if name in contestants] if aim.rivals else peers
    if not rivals:
        return []
    fastest = min(rivals, key=lambda name: spread(times[name])["median"])
    figure = ratios(times[aim.ours], times[fastest])
    theirs = contestants[fastest]
    found: dict[str, Any] = {"ours": aim.ours, "rival": fastest, "time": figure, "most": aim.most}
    if bout.minimal:
        found["l2"] = length(ours, theirs)
    found["success"] = mean(ours.verdict.success.double()), mean(theirs.verdict.success.double())
    return [found | {"aim": weakness(ours, theirs, bout.minimal) or judge(figure, aim.most)}]


def weakness(ours: Contestant, theirs: Contestant, minimal: bool) -> str:
    """In what a rival is better, where speed does not count then."""
    if theirs.verdict.success.double().mean() - ours.verdict.success.double().mean() > WITHIN:
        return "is missed: fools fewer"
    return "is missed: larger distances" if minimal and length(ours, theirs) > 1 + WITHIN else ""


def rival(ours: Contestant, theirs: Contestant, minimal: bool) -> bool:
    """Whether somebody fools as many images, and at no larger distances where these matter."""
    fools = ours.verdict.success.double().mean() - theirs.verdict.success.double().mean() <= WITHIN
    return bool(fools) and (not minimal or length(ours, theirs) >= 1 - 5 * WITHIN)


def length(ours: Contestant, theirs: Contestant) -> float:
    """Our mean L2 distance over theirs, on images that both have fooled."""
    both = ours.verdict.success & theirs.verdict.success
    return float(ours.verdict.l2[both].mean() / theirs.verdict.l2[both].mean())


def load_subject(weights: Path, depth: int, file: Path, count: int, crafting: int, device: str) -> Subject:
    """A residual network of CIFAR-10 and pictures that it recognises."""
    network = CifarResNet(depth, mean=IMAGENET_MEAN, std=IMAGENET_STD, weights=str(weights)).eval().to(device)
    arrays = np.load(file)

    def recognised(part: str, most: int) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(arrays[f"{part}_x"][: most + most // 4]).to(device).permute(0, 3, 1, 2) / 255
        labels = torch.from_numpy(arrays[f"{part}_y"][: len(images)]).long().to(device)
        with torch.no_grad():
            right = torch.cat([network(some).argmax(1) for some in images.split(500)]) == labels
        return images[right][:most].contiguous(), labels[right][:most]

    images, labels = recognised("test", count)
    return Subject(network, images, labels, recognised("train", crafting)[0])


def kept(file: Path | None, around: Mapping[str, Any]) -> dict[str, Any]:
    """Results of an earlier run under the same circumstances, to which this one adds."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file and file.is_file() else {}
    same = all(
        content.get(name) == around[name] for name in ("hardware", "threads", "versions", "libraries", "network")
    )
    return content["results"] if same else {}


def render(result: Mapping[str, Any]) -> str:
    """A line per contestant, and one per aim."""
    names = ["images/s", "time/passes", "success", "L2", "L∞", "F/image", "B/image", "calls"]
    rows = [[f"{result['attack']}; {result['images']} images", *names]]
    for name, figures in result["contestants"].items():
        overhead = figures["overhead"]
        rows.append(
            [
                name,
                f"{figures['images_per_s']['median']:.4g}",
                f"{overhead['median']:.3f} ({overhead['low']:.3f} – {overhead['high']:.3f})",
                f"{figures['success']:.3f}",
                *("–" if figures[norm] is None else f"{figures[norm]:.4f}" for norm in ("l2", "linf")),
                f"{figures['forward_passes']:.1f}",
                f"{figures['backward_passes']:.1f}",
                str(figures["calls"]),
            ]
        )
    aims = [
        f"{one['ours']} / {one['rival']}: {one['time']['median']:.3f} of the time, at most {one['most']:.3f}: "
        f"{one['aim']}" + (f"; L2 ratio {one['l2']:.4f}" if "l2" in one else "")
        for one in result["aims"]
    ]
    return "\n".join([*align(rows), *aims, ""])


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = command_line("attacks", __doc__)
    parser.add_argument("--weights", type=Path, required=True, help="of a residual network for CIFAR-10")
    parser.add_argument("--depth", type=int, default=20, help="of this network")
    parser.add_argument("--images", type=Path, required=True, help="npz of train_x, train_y, test_x and test_y")
    parser.add_argument("--all", type=int, default=64, help="images for most attacks")
    parser.add_argument("--searched", type=int, default=16, help="images for C&W and L-BFGS")
    parser.add_argument("--few", type=int, default=4, help="images where a peer takes one at a time")
    parser.add_argument("--crafting", type=int, default=96, help="images that universal perturbations are made on")
    parser.add_argument("--seconds", type=float, default=10, help="for all rounds of an attack, about")
    parser.add_argument("--only", nargs="*", choices=[bout.key for bout in BOUTS], help="some of the attacks")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch on the CPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    peers, libraries = installed()
    around = circumstances(options.device) | {"libraries": libraries, "network": f"ResNet-{options.depth}, CIFAR-10"}
    print(f"\n{header(CLAIM, around)}{libraries}\n", flush=True)
    counts = {name: getattr(options, name) for name in ("all", "searched", "few", "crafting")}
    subject = load_subject(
        options.weights,
        options.depth,
        options.images,
        max(*counts.values(), HELD_OUT),
        options.crafting,
        options.device,
    )
    results = kept(options.json, around)
    for bout in BOUTS:
        if options.only is None or bout.key in options.only:
            moment = {name: around[name] for name in ("date", "load", "code")}
            results[bout.key] = measure(bout, subject, counts[bout.size], peers, options.seconds) | moment
            print(render(results[bout.key]), flush=True)
            write_json(options.json, {"claim": CLAIM, "results": results, **around})


if __name__ == "__main__":
    main()
