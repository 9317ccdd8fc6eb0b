"""Whose errors a corruption error is measured by."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

PREFIX = "test/corruption"


@dataclass(frozen=True)
class Errors:
    """Error rates in [0, 1], float64.

    Attributes:
        clean: for the clean images, a number.
        corrupted: (corruptions, severities).
    """

    clean: Tensor
    corrupted: Tensor


@dataclass(frozen=True)
class Trial:
    """What is classified; two runs with the same one may be compared.

    Attributes:
        corruptions: by name.
        severities: of each.
        images: how many, on all ranks together.
        data: fingerprint of the clean images, their labels and their order.
        recipe: fingerprint of severity parameters, seed and frost pictures; 0 for stored files.
        imagenet: whether the severities are those of ImageNet-C.
        files: fingerprint of each corruption's stored file, by name; none for computed corruptions.
    """

    corruptions: Sequence[str]
    severities: Sequence[int]
    images: int
    data: int
    recipe: int
    imagenet: bool = False
    files: Mapping[str, int] = field(default_factory=dict)

    @property
    def fingerprints(self) -> dict[str, int]:
        """What must be the same in another run, as far as that has it, by the name of its figure."""
        files = {f"{name}/file": number for name, number in self.files.items()}
        return {"images": self.images, "data": self.data, "recipe": self.recipe} | files


class Baseline(ABC):
    """The errors of another classifier for the same corrupted images."""

    @abstractmethod
    def errors(self, trial: Trial) -> Errors:
        """Its error rates; refuses to be compared with another trial than its own."""


class EarlierRun(Baseline):
    """Another run that was tested with ``CorruptionError`` on the same images; a path means the same.

    Args:
        path: its folder ``runs/NAME/VERSION``, or the ``metrics.json`` in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    def __repr__(self) -> str:
        return str(self.path)

    def errors(self, trial: Trial) -> Errors:
        figures = self.read()
        for name, value in trial.fingerprints.items():
            theirs = figures.get(f"{PREFIX}/{name}", value)  # a corruption that it lacks is named below
            if theirs != value:
                difference = DIFFERENCES.get(name, DIFFERENCES["recipe"])
                raise ValueError(f"CorruptionError: baseline={self.path} {difference} ({theirs:.0f}, not {value})")
        keys = [[f"{PREFIX}/{name}/{level}" for level in trial.severities] for name in trial.corruptions]
        missing = [key for row in keys for key in row if figures.get(key) is None]
        if missing:
            raise ValueError(
                f"CorruptionError: baseline={self.path} lacks {len(missing)} errors such as {missing[0]}: test it "
                "again with the same corruptions and severities"
            )
        rates = torch.tensor([[figures[key] for key in row] for row in keys], dtype=torch.float64)
        clean = torch.tensor(figures[f"{PREFIX}/clean"], dtype=torch.float64)
        # The file holds rates in single precision: counts are whole again, and a run equals itself to the last bit.
        return Errors((clean * trial.images).round() / trial.images, (rates * trial.images).round() / trial.images)

    def read(self) -> dict[str, float]:
        """The run's test figures."""
        path = self.path / "metrics.json" if self.path.is_dir() else self.path
        try:
            figures: dict[str, float] = json.loads(path.read_text())["test"]
        except FileNotFoundError as error:
            raise FileNotFoundError(f"CorruptionError: baseline={self.path} has no metrics.json: give a run") from error
        except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"CorruptionError: baseline={self.path} holds no test figures: give a run") from error
        if not {f"{PREFIX}/{name}" for name in ("clean", *DIFFERENCES)} <= figures.keys():
            raise ValueError(
                f"CorruptionError: baseline={self.path} was not tested on corrupted images: test it with "
                "-c configs/plugins/corruption_error.yaml first"
            )
        return figures


DIFFERENCES = {
    "images": "was tested on another number of images: test it again with the same option images",
    "data": "was tested on other images: test it again on the same data set",
    "recipe": "was tested on images corrupted otherwise: test it again with the same scale, seed, frost and stored",
}


class AlexNet(Baseline):
    """AlexNet's published errors for ImageNet-C, the customary baseline there (Hendrycks & Dietterich 2019).

    They are means over the five severities, for the published files: corruptions that are computed anew come close to
    these, but are not the same images. The clean error, 43.478 %, is that of torchvision's weights.
    """

    def __repr__(self) -> str:
        return "AlexNet's published errors (its images were other draws of these corruptions)"

    def errors(self, trial: Trial) -> Errors:
        strange = set(trial.corruptions) - ALEXNET.keys()
        if strange or sorted(trial.severities) != [1, 2, 3, 4, 5] or trial.images != 50_000 or not trial.imagenet:
            raise ValueError(
                "CorruptionError: baseline=AlexNet is published for the 15 common corruptions of all 50,000 ImageNet "
                f"validation images at severities 1 to 5, but this test has {trial.images} images: give another run, "
                "or leave out stored, whose images may be any, and set scale=ImageNetSeverities, images=0 and all "
                "severities on ImageNet"
            )
        means = torch.tensor([ALEXNET[name] for name in trial.corruptions], dtype=torch.float64)
        return Errors(torch.tensor(0.43478, dtype=torch.float64), means.unsqueeze(1).expand(-1, 5))


ALEXNET = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
