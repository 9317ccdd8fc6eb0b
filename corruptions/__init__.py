"""Nature changes the input."""

from corruptions.blur import DefocusBlur, GaussianBlur, GlassBlur, MotionBlur, ZoomBlur
from corruptions.catalogue import COMMON, EXTRA, corruption
from corruptions.corruption import SEVERITIES, Corruption
from corruptions.digital import Contrast, ElasticTransform, JPEGCompression, Pixelate, Saturate
from corruptions.noise import GaussianNoise, ImpulseNoise, ShotNoise, SpeckleNoise
from corruptions.pictures import IceTexture, PictureFolder, Pictures
from corruptions.severities import CifarSeverities, ImageNetSeverities, Severities
from corruptions.spatter import Spatter
from corruptions.stored import StoredCorruption, stored_labels
from corruptions.weather import Brightness, Fog, Frost, Snow
from corruptions.writing import write_corrupted

__all__ = [
    "COMMON",
    "EXTRA",
    "SEVERITIES",
    "Brightness",
    "CifarSeverities",
    "Contrast",
    "Corruption",
    "DefocusBlur",
    "ElasticTransform",
    "Fog",
    "Frost",
    "GaussianBlur",
    "GaussianNoise",
    "GlassBlur",
    "IceTexture",
    "ImageNetSeverities",
    "ImpulseNoise",
    "JPEGCompression",
    "MotionBlur",
    "PictureFolder",
    "Pictures",
    "Pixelate",
    "Saturate",
    "Severities",
    "ShotNoise",
    "Snow",
    "Spatter",
    "SpeckleNoise",
    "StoredCorruption",
    "ZoomBlur",
    "corruption",
    "stored_labels",
    "write_corrupted",
]
