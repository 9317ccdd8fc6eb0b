"""What defences cost per image, beside scikit-image, SciPy, OpenCV, Pillow and a plain loop.

    python -m benchmarks.defenses --json benchmarks/results/speed/defenses.json

Contestants take turns on the same pictures, in one process and on one core: ours on a batch of tensors, a peer on one
array after the other, in the layout that it likes. Shown are medians of processor time, with a 95 % interval. An aim is
about the ratio to the fastest peer, and is decided only where the whole interval lies on one side of it. Peers that are
not installed are named. Where there is a GPU, ours run on it once more, in large batches.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks import defense_peers as peers
from benchmarks.defense_costs import Contest, inference, on_gpu, race
from benchmarks.printing import align
from benchmarks.speed import LEAST, circumstances, command_line, header, write_json
from cli.memory import keep_freed_memory
from defenses import (
    Bilateral,
    DctDenoise,
    DifferentiableJpeg,
    Jpeg,
    MedianSmoothing,
    NonLocalMeans,
    OpenCVNonLocalMeans,
    PixelDeflection,
    RandomResizePad,
    TotalVariation,
    WaveletDenoise,
)
from networks import CifarResNet, TorchvisionClassifier

CLAIM = (
    "Aims: pixel deflection 3 times as fast as a plain loop at 100 deflections, 10 times at 1,000; wavelets 2.5 times\n"
    "as fast as scikit-image, 5,000 images/s on a GPU at 224 pixels; median 5 and non-local means 1.5 times as fast\n"
    "as the fastest peer, or by its code; a robust map at most 1.2 forward passes; ten runs at most 10.5 times one."
)


def contests() -> list[Contest]:
    """A row each."""
    opencv = find_spec("cv2") is not None
    means = peers.non_local_means(11, 3, 2)
    rows = [
        Contest("deflection, 100", PixelDeflection(100), {"plain loop": peers.deflect_in_a_loop(100)}, 3),
        Contest("deflection, 1000", PixelDeflection(1000), {"plain loop": peers.deflect_in_a_loop(1000)}, 10),
        Contest("wavelets, db1", WaveletDenoise(units="rgb"), peers.wavelets(), 2.5, images_per_s=5000),
        Contest("median 2x2", MedianSmoothing(2), peers.median(2), 5),
        Contest("median 3x3", MedianSmoothing(3), peers.median(3), None if opencv else 5, "by OpenCV" * opencv),
        Contest("non-local means 11-3-2", NonLocalMeans(11, 3, 2), means, 1.5),
        Contest("bilateral", Bilateral(1.5, 0.1), peers.bilateral(1.5, 0.1, 3)),
        Contest("total variation, 50 steps", TotalVariation(0.03, 0, 50), peers.total_variation(0.03, 50)),
        Contest("JPEG", Jpeg(75), peers.jpeg(75), note="by Pillow"),
        Contest("JPEG, differentiable", DifferentiableJpeg(75)),
        Contest("cosines", DctDenoise()),
        Contest("resize and pad", RandomResizePad()),
    ]
    if opencv:
        rows.insert(6, Contest("OpenCVNonLocalMeans", OpenCVNonLocalMeans(11, 3, 2), means, note="by OpenCV"))
    return rows


def measure(rounds: int, only: str = "") -> dict[str, list[dict[str, Any]]]:
    """All figures, by the device that they were measured on; or only those of defences whose row begins like this."""
    chosen = [(contest, size) for size in (224, 32) for contest in contests() if contest.what.startswith(only)]
    if not chosen:
        raise ValueError(f"--only {only}: no row begins like this; there are {', '.join(c.what for c in contests())}")
    with torch.inference_mode():
        results = {"one core": [race(contest, size, rounds) for contest, size in chosen]}
        cuda = torch.cuda.is_available()
        if cuda:
            results["GPU"] = [on_gpu(contest, size, rounds) for contest, size in chosen]
    if only:
        return results
    for where, device in [("one core", "cpu")] + [("GPU", "cuda")] * cuda:
        for network, name, size in (
            (CifarResNet(20), "ResNet-20, 32", 32),
            (TorchvisionClassifier("squeezenet1_0"), "SqueezeNet 1.0, 224", 224),
        ):
            results[where] += inference(network, name, size, torch.device(device), max(LEAST, rounds // 3))
    return results


def render(results: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """A table per device, a line per figure."""
    lines = []
    for where, figures in results.items():
        rows = [["ms per image", "ours", "others", "ours over fastest", "at most", "aim"]]
        for one in figures:
            others = ", ".join(f"{name} {ms['median']:.3g}" for name, ms in one["ms"].items() if name != "ours")
            ratio = one.get("ratio")
            interval = f"{ratio['median']:.3g} ({ratio['low']:.3g} – {ratio['high']:.3g})" if ratio else ""
            speed = f"{one['images_per_s']:,.0f} images/s" if "images_per_s" in one else others
            most = f"{one['most']:.3g}" if "most" in one else ""
            rows.append([one["what"], f"{one['ms']['ours']['median']:.3g}", speed, interval, most, one["aim"]])
        lines += ["", where, *align(rows)]
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = command_line("defenses", __doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of every contest")
    parser.add_argument("--only", default="", help="rows that begin like this, such as deflection")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    keep_freed_memory()  # as main.py does, for peers as well
    peers.use_one_core()
    around = circumstances("cuda" if torch.cuda.is_available() else "cpu")
    around |= {"peers": peers.versions(), "missing": peers.missing()}
    results = measure(options.rounds, options.only)
    print(f"\n{header(CLAIM, around)}{render(results)}")
    if around["missing"]:
        print(f"\nnot installed, so not measured: {', '.join(around['missing'])}")
    write_json(options.json, {"claim": CLAIM, "results": results, **around})


if __name__ == "__main__":
    main()
