"""What is refused in words: pixels out of range, and images that are too small."""

from functools import partial

import pytest
import torch

from defenses import (
    AnisotropicDiffusion,
    BitDepth,
    DctDenoise,
    Defended,
    DifferentiableJpeg,
    Identity,
    Jpeg,
    MedianSmoothing,
    NonLocalMeans,
    PixelDeflection,
    Quilting,
    RobustActivationMap,
    Sequence,
    TotalVariation,
    Vote,
    WaveletDenoise,
)
from networks import Resized, VanillaConvNet

DEFENSES = [BitDepth(), Jpeg(), MedianSmoothing(), PixelDeflection(), TotalVariation(), WaveletDenoise(), Identity()]


def fresh(defense):
    """One that has not seen an image."""
    defense._checked = False
    return defense


@pytest.mark.parametrize("defense", DEFENSES, ids=lambda defense: type(defense).__name__)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: 255 * x, "divide bytes by 255"),
        (lambda x: (x - 0.5) / 0.25, "leave normalisation to the network's first layer"),
        (lambda x: x.masked_fill(x > 0.9, torch.nan), "images hold pixels from nan to nan"),
    ],
)
def test_pixels_out_of_range_are_refused(defense, change, sentence):
    images = torch.rand(2, 3, 32, 32)
    with pytest.raises(ValueError, match=sentence):
        fresh(defense)(change(images))
    assert fresh(defense)(images).shape == images.shape


def test_float_errors_pass():
    for defense in DEFENSES:
        assert len(fresh(defense)(torch.rand(1, 3, 16, 16) * 1.00001 - 5e-6)) == 1


def test_parts_and_defended_networks_refuse_as_well():
    images = 255 * torch.rand(2, 3, 16, 16)
    with pytest.raises(ValueError, match="BitDepth works on"):
        Sequence([BitDepth(), PixelDeflection()])(images)
    with pytest.raises(ValueError, match="PixelDeflection works on"):
        Defended(VanillaConvNet(2, width=4), PixelDeflection(), votes=2)(images)


def test_only_the_first_batch_is_checked(monkeypatch):
    """A device would wait for a later one."""
    seen = []
    monkeypatch.setattr("defenses.defense.check_pixels", lambda defense, images: seen.append(len(images)))
    defense = BitDepth()
    for size in (0, 2, 3):
        defense(torch.rand(size, 3, 8, 8))
    assert seen == [2]


BANK = torch.rand(30, 3, 5, 5, generator=torch.Generator().manual_seed(0))
COUNTS = [
    (AnisotropicDiffusion, "steps"),
    (BitDepth, "bits"),
    (DctDenoise, "block"),
    (DifferentiableJpeg, "quality"),
    (Jpeg, "quality"),
    (MedianSmoothing, "size"),
    (NonLocalMeans, "search"),
    (NonLocalMeans, "patch"),
    (PixelDeflection, "deflections"),
    (PixelDeflection, "window"),
    (partial(Quilting, BANK), "overlap"),
    (partial(Quilting, BANK), "neighbors"),
    (partial(Quilting, BANK), "cells"),
    (partial(Quilting, BANK), "probes"),
    (RobustActivationMap, "classes"),
    (TotalVariation, "steps"),
    (partial(Vote, Identity()), "runs"),
    (WaveletDenoise, "levels"),
]


@pytest.mark.parametrize(("kind", "option"), COUNTS)
def test_what_counts_is_a_whole_number(kind, option):
    with pytest.raises(ValueError, match=f": {option}=2.5 must be a whole number"):
        kind(**{option: 2.5})


@pytest.mark.parametrize(
    ("defense", "size", "sentence"),
    [
        (WaveletDenoise("db1"), 1, "images of 1x1, which allow 0: take larger images$"),
        (WaveletDenoise("db1", levels=3), 4, "which allow 2: take fewer levels$"),
        (WaveletDenoise("db4"), 4, "which allow 0: choose a shorter one, such as db1$"),
        (
            WaveletDenoise("db2", levels=4),
            16,
            "which allow 2: choose a shorter one, such as db1, or take fewer levels$",
        ),
    ],
)
def test_images_that_are_too_small_for_a_wavelet(defense, size, sentence):
    with pytest.raises(ValueError, match=sentence):
        defense(torch.rand(1, 3, size, size))


def test_a_network_of_ours_without_feature_maps_is_not_recommended():
    with pytest.raises(ValueError, match=r"Resized has no features\(images\) and head\(features\): take one that has"):
        PixelDeflection(activation_map=RobustActivationMap()).attach(Resized(VanillaConvNet(2, width=4), 32))
