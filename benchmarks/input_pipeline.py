"""Training images per second on one core: batches augmented at once against one image at a time.

    python -m benchmarks.input_pipeline --json benchmarks/results/speed/input_pipeline.json

Each contestant makes an epoch of shuffled batches of 128 float images with random crops (padding 4) and flips, from
the same 50,000 x 3 x 32 x 32 bytes. Contestants take turns; shown are median, smallest and largest of the repetitions.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import v2

from benchmarks.printing import align
from benchmarks.speed import Times, circumstances, command_line, header, ratios, spread, take_turns, write_json
from datamodules import RandomCrop, RandomFlip
from datamodules.batches import EpochSampler
from datamodules.loaders import ResidentLoader, WorkerLoader
from datamodules.sources import TensorSource

CLAIM = "Aim: resident batches at least 8 times as many images per second as torchvision's transforms on PIL images."
OURS, PEER, AIM = "resident batches", "torchvision on PIL images", 8
BATCH = 128


class TransformedImages(Dataset[tuple[Any, int]]):
    """Images that are transformed one at a time, as torchvision's own data sets do it.

    Args:
        images: as many as labels, of what the transform takes after ``prepare``.
        labels: (N,) integers.
        prepare: from a stored image to the transform's input.
        transform: random changes, then a float tensor.
    """

    def __init__(
        self, images: Any, labels: Tensor, prepare: Callable[[Any], Any], transform: Callable[[Any], Any]
    ) -> None:
        self.images, self.labels, self.prepare, self.transform = images, labels.tolist(), prepare, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.prepare(self.images[index])), self.labels[index]


def make_loaders(count: int) -> dict[str, Iterable[Any]]:
    """Every contestant's loader over the same random images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.randint(10, (count,), generator=generator)
    pictures: np.ndarray = images.permute(0, 2, 3, 1).contiguous().numpy()
    sampler = partial(EpochSampler, count, BATCH, shuffle=True, augmentations=[RandomCrop(4), RandomFlip()])
    new = v2.Compose(
        [v2.RandomCrop(32, 4), v2.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    )
    old = transforms.Compose([transforms.RandomCrop(32, 4), transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    per_sample = {
        PEER: TransformedImages(pictures, labels, Image.fromarray, old),
        "torchvision v2 on PIL images": TransformedImages(pictures, labels, Image.fromarray, new),
        "torchvision v2 on tensors": TransformedImages(images, labels, lambda image: image, new),
    }
    peers = {name: DataLoader(images, BATCH, shuffle=True) for name, images in per_sample.items()}
    return {
        OURS: ResidentLoader(images, labels, sampler()),
        "worker loader, 0 workers": WorkerLoader(TensorSource(images, labels), sampler()),
        **peers,
    }


def measure(loader: Iterable[Any]) -> float:
    """Images per second over one epoch."""
    start, images = time.perf_counter(), 0
    for batch, _ in loader:
        images += len(batch)
    return images / (time.perf_counter() - start)


def run(count: int, repeats: int) -> Times:
    """Images per second of every contestant."""
    return take_turns({name: partial(measure, loader) for name, loader in make_loaders(count).items()}, repeats)


def summarise(times: Times) -> dict[str, Any]:
    """Speeds, how many times as fast resident batches are, and whether that is what we aim at."""
    speeds = {name: spread(figures) for name, figures in times.items()}
    faster = {name: ratios(times[OURS], figures) for name, figures in times.items() if name != OURS}
    return {"images_per_second": speeds, "times_as_fast": faster, "aim": AIM, "holds": faster[PEER]["median"] >= AIM}


def render(summary: dict[str, Any]) -> str:
    """A line per contestant, and the verdict."""
    lines = [["", "images/s", "min – max", "resident: times as fast", "min – max"]]
    for name, speed in summary["images_per_second"].items():
        faster = summary["times_as_fast"].get(name)
        line = [name, f"{speed['median']:,.0f}", f"{speed['min']:,.0f} – {speed['max']:,.0f}"]
        line += [f"{faster['median']:.1f}", f"{faster['min']:.1f} – {faster['max']:.1f}"] if faster else ["", ""]
        lines.append(line)
    verdict = "holds" if summary["holds"] else "is missed"
    return "\n".join([*align(lines), "", f"{summary['times_as_fast'][PEER]['median']:.1f} times: the aim {verdict}."])


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = command_line("input_pipeline", __doc__)
    parser.add_argument("--images", type=int, default=50_000, help="images per epoch")
    parser.add_argument("--repeats", type=int, default=5, help="epochs that are measured of each contestant")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    around = circumstances()
    print(header(CLAIM, around))
    summary = summarise(run(options.images, options.repeats))
    print(render(summary))
    about = {"claim": CLAIM, "images": options.images, "batch": BATCH, "repeats": options.repeats}
    write_json(options.json, {**about, **summary, **around})


if __name__ == "__main__":
    main()
