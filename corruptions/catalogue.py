"""All corruptions by the names of the benchmark's files."""

from typing import Any

from corruptions.blur import DefocusBlur, GaussianBlur, GlassBlur, MotionBlur, ZoomBlur
from corruptions.digital import Contrast, ElasticTransform, JPEGCompression, Pixelate, Saturate
from corruptions.noise import GaussianNoise, ImpulseNoise, ShotNoise, SpeckleNoise
from corruptions.pictures import Pictures
from corruptions.severities import Severities
from corruptions.spatter import Spatter
from corruptions.synthetic import SyntheticCorruption
from corruptions.weather import Brightness, Fog, Frost, Snow

_COMMON: tuple[type[SyntheticCorruption[Any]], ...] = (
    GaussianNoise,
    ShotNoise,
    ImpulseNoise,
    DefocusBlur,
    GlassBlur,
    MotionBlur,
    ZoomBlur,
    Snow,
    Frost,
    Fog,
    Brightness,
    Contrast,
    ElasticTransform,
    Pixelate,
    JPEGCompression,
)
_EXTRA: tuple[type[SyntheticCorruption[Any]], ...] = (SpeckleNoise, GaussianBlur, Spatter, Saturate)

COMMON = {kind.name: kind for kind in _COMMON}  # the 15 that count for the mean corruption error
EXTRA = {kind.name: kind for kind in _EXTRA}  # four for validation


def corruption(
    name: str, severity: int, scale: Severities | None = None, pictures: Pictures | None = None
) -> SyntheticCorruption[Any]:
    """The corruption of a name.

    Args:
        name: one of COMMON or EXTRA.
        severity: 1 (mild) to 5 (strong).
        scale: the benchmark whose parameters are meant; CIFAR's by default.
        pictures: of frost, for the corruption of that name; computed ones by default.
    """
    kinds = COMMON | EXTRA
    if name not in kinds:
        raise ValueError(f"there is no corruption {name!r}: choose from {', '.join(kinds)}")
    return Frost(severity, scale, pictures) if kinds[name] is Frost else kinds[name](severity, scale)
