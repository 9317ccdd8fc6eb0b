"""What every defence promises: one table, a defence in each row."""

import pytest
import torch
import torch.nn.functional as F
from jsonargparse import ArgumentParser
from torch import nn

from defenses import (
    AnisotropicDiffusion,
    AuthorsActivationMap,
    Bilateral,
    BitDepth,
    Crop,
    DctDenoise,
    Deconvolution,
    Defense,
    DifferentiableJpeg,
    Identity,
    Jpeg,
    MedianSmoothing,
    NonLocalMeans,
    OpenCVNonLocalMeans,
    PixelDeflection,
    Quilting,
    RandomResizePad,
    RobustActivationMap,
    Sequence,
    TotalVariation,
    WaveletDenoise,
)

BANK = torch.rand(300, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * torch.linspace(0, 1, 300).view(
    -1, 1, 1, 1
)
LEVELS = torch.linspace(0, 1, 17)
COLOURS = torch.cartesian_prod(LEVELS, LEVELS, LEVELS).view(-1, 3, 1, 1)


class Brightness(nn.Module):
    """Bright or dark; without weights, so that it is on every device and takes any number of channels."""

    def features(self, images):
        grey = F.avg_pool2d(images.mean(1, keepdim=True), 4)
        return torch.cat([grey, 1 - grey], dim=1)

    def head(self, features):
        return features.mean((2, 3))


def steered(activation_map):
    """Pixel deflection away from where a network looks."""
    defense = PixelDeflection(200, 10, activation_map)
    defense.attach(Brightness())
    return defense


ROWS = {
    "identity": Identity(),
    "bit_depth": BitDepth(5),
    "pixel_deflection": PixelDeflection(100, 10),
    "pixel_deflection_authors": PixelDeflection(200, 10, mode="authors"),
    "pixel_deflection_mean": PixelDeflection(100, 3, sampling="gaussian", replacement="mean"),
    "pixel_deflection_map": steered(RobustActivationMap()),
    "pixel_deflection_authors_map": steered(AuthorsActivationMap()),
    "wavelets": WaveletDenoise(),
    "wavelets_sure": WaveletDenoise("sym4", "sure", sigma=None, color="rgb"),
    "wavelets_hard": WaveletDenoise("db2", "visu", "hard", units="stretched"),
    "cosines": DctDenoise(),
    "jpeg": Jpeg(75),
    "differentiable_jpeg": DifferentiableJpeg(75),
    "median": MedianSmoothing(2),
    "median_3": MedianSmoothing(3),
    "median_4": MedianSmoothing(4),
    "non_local_means": NonLocalMeans(11, 3, 4),
    "non_local_means_opencv": OpenCVNonLocalMeans(11, 3, 4),
    "bilateral": Bilateral(),
    "diffusion": AnisotropicDiffusion(),
    "deconvolution": Deconvolution(),
    "total_variation": TotalVariation(drop=0),
    "dropped_total_variation": TotalVariation(),
    "quilting": Quilting(BANK),
    "random_quilting": Quilting(BANK, neighbors=5),
    "crop": Crop(),
    "resize_pad": RandomResizePad(),
    "resize": RandomResizePad(pad=False),
    "pad": RandomResizePad(resize=False),
    "thesis": Sequence([PixelDeflection(100, 10), WaveletDenoise()]),
    "sequence": Sequence([BitDepth(6), PixelDeflection(50, 5), PixelDeflection(50, 5)]),
}
# The mildest setting of each, and how far it may be from the identity (largest difference of a pixel).
MILDEST = {
    "bit_depth": (BitDepth(8), 1 / 500),
    "pixel_deflection": (PixelDeflection(0), 0),
    "pixel_deflection_authors": (PixelDeflection(0, mode="authors"), 0),
    "wavelets": (WaveletDenoise(sigma=0), 1e-5),
    "wavelets_visu": (WaveletDenoise(threshold="visu", sigma=0), 1e-5),
    "wavelets_sure": (WaveletDenoise("sym4", "sure", sigma=0, color="rgb"), 1e-3),  # by a band's smallest coefficient
    "wavelets_hard": (WaveletDenoise("db2", "visu", "hard", sigma=0, units="stretched"), 1e-5),
    "cosines": (DctDenoise(sigma=0), 1e-5),
    "jpeg": (Jpeg(100, subsample=False), 5 / 255),
    "differentiable_jpeg": (DifferentiableJpeg(100, subsample=False), 4 / 255),
    "median": (MedianSmoothing(1), 0),
    "non_local_means": (NonLocalMeans(strength=0.01), 1e-3),
    "non_local_means_opencv": (OpenCVNonLocalMeans(strength=0.01), 1 / 100),
    "bilateral": (Bilateral(colour=1e-4), 1e-3),
    "diffusion": (AnisotropicDiffusion(rate=0), 0),
    "deconvolution": (Deconvolution(blur=0, balance=0), 1e-5),
    "total_variation": (TotalVariation(weight=0), 0),
    "quilting": (Quilting(COLOURS, overlap=0), 1 / 32 + 1e-6),
    "crop": (Crop(share=1), 1e-4),
    "resize_pad": (RandomResizePad(smallest=1), 1e-4),
    "resize": (RandomResizePad(smallest=1, pad=False), 1e-4),
    "pad": (RandomResizePad(smallest=1, resize=False), 1e-4),
    "sequence": (Sequence([Identity()]), 0),
}
EXACT = [row for row, defense in ROWS.items() if defense.gradient == "exact" and not defense.random]


@pytest.fixture(params=ROWS)
def defense(request):
    return ROWS[request.param]


def test_shape_range_dtype_and_device_stay(defense, photographs):
    white = torch.ones(2, 3, 31, 29)  # whose mean of many pixels may round to more
    for images in (
        white,
        *(photographs.to(dtype) for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16)),
    ):
        restored = defense(images)
        assert restored.shape == images.shape
        assert restored.dtype == images.dtype
        assert restored.isfinite().all()
        assert 0 <= restored.min() <= restored.max() <= 1


def test_images_stay_as_they_were(defense, photographs):
    before = photographs.clone()
    defense(photographs)
    assert torch.equal(photographs, before)


def test_a_result_depends_on_image_and_run_alone(defense, photographs):
    state = torch.get_rng_state()
    whole = defense(photographs, run=2)
    assert torch.equal(whole, defense(photographs, run=2))
    assert torch.equal(torch.get_rng_state(), state)
    parts = torch.cat([defense(part, run=2) for part in photographs.split([1, 4, 3])])
    order = torch.tensor([5, 1, 0, 7, 2, 6, 3, 4])
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(defense(photographs[order], run=2), whole[order], rtol=0, atol=1e-6)


def test_draws_of_large_images_do_not_depend_on_the_batch(large_photographs):
    """Their keys follow from a part of their pixels."""
    for row, defense in ROWS.items():
        if defense.random:
            whole = defense(large_photographs, run=1)
            parts = torch.cat([defense(part, run=1) for part in large_photographs.split(1)])
            torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6, msg=row)


def test_memory_format_and_empty_batches(defense, photographs):
    last = defense(photographs.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, defense(photographs), rtol=0, atol=1e-6)
    assert defense(photographs[:0]).shape == (0, 3, 32, 32)


def test_chance_is_where_it_is_said_to_be(defense, photographs):
    first, second = defense(photographs, run=0), defense(photographs, run=1)
    assert torch.equal(first, second) != defense.random
    with torch.random.fork_rng():
        torch.manual_seed(123)
        assert torch.equal(first, defense(photographs, run=0)) != defense.random


def test_gradients_pass(defense, photographs):
    images = photographs[1:3].clone().requires_grad_()
    restored = defense(images)
    assert torch.equal(restored, defense(images.detach()))
    weights = torch.linspace(-1, 1, images.numel()).view_as(images)
    (gradient,) = torch.autograd.grad((restored * weights).sum(), images)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
    if defense.gradient == "identity" and not isinstance(defense, Sequence):
        assert torch.equal(gradient, weights)


def test_inference_mode_and_autocast_change_nothing(defense, photographs):
    outside = defense(photographs)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(defense(photographs), outside)


def test_lower_products_outside_change_nothing(defense, photographs):
    outside = defense(photographs)
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(defense(photographs), outside)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_parts_of_a_nested_sequence_draw_apart(photographs):
    first, second, third = (PixelDeflection(40, 5) for _ in range(3))
    nested, flat = Sequence([Sequence([first, second]), third]), Sequence([first, second, third])
    found = []
    for defense in (nested, flat):
        defense.generator = torch.Generator().manual_seed(3)
        found.append(defense(photographs))
    assert torch.equal(*found)
    assert len(nested.parts) == 3


def test_a_network_saves_nothing_of_it(defense):
    assert not defense.state_dict()
    assert repr(defense).startswith(type(defense).__name__)


@pytest.mark.parametrize("row", MILDEST)
def test_mild_settings_are_close_to_the_identity(row, photographs, large_photographs):
    defense, distance = MILDEST[row]
    for images in (photographs, large_photographs):
        assert (defense(images) - images).abs().max() <= distance


@pytest.mark.parametrize("shape", [(3, 33, 40), (3, 57, 31), (1, 28, 28), (1, 35, 29)])
def test_any_size_and_grey(defense, shape):
    if isinstance(defense, Quilting):
        defense = Quilting(BANK[:, : shape[0]])
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    restored = defense(images)
    assert restored.shape == images.shape
    assert restored.isfinite().all()


def test_a_generator_gives_new_runs(photographs):
    for defense in ROWS.values():
        if not defense.random:
            continue
        defense.generator = torch.Generator().manual_seed(3)
        try:
            first, second = defense(photographs), defense(photographs)
            defense.generator.manual_seed(3)
            assert torch.equal(defense(photographs), first)
            assert not torch.equal(first, second)
            defense.generator.manual_seed(3)
            parts = torch.cat([defense(part) for part in photographs.split([1, 4, 3])])
            torch.testing.assert_close(parts, first, rtol=0, atol=1e-6)
        finally:
            defense.generator = None


@pytest.mark.gpu
def test_a_gpu_agrees(defense, photographs):
    there = defense(photographs.cuda())
    assert there.is_cuda
    difference = (there.cpu() - defense(photographs)).abs()
    assert (difference > 1e-3).float().mean() < 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: Identity()(x[0]), r"images are torch.float32 of shape \(3, 32, 32\): Identity needs floating-point"),
        (lambda x: BitDepth(4)((x * 255).byte()), "images are torch.uint8.*BitDepth needs.*divide bytes by 255"),
        (lambda x: BitDepth(9), "BitDepth: bits=9 must lie from 1 to 8"),
        (lambda x: Sequence([]), r"Sequence: parts=\[\] is empty"),
        (lambda x: Sequence([nn.Identity()]), "Sequence: parts holds a Identity, which is no defence"),
        (lambda x: Jpeg(0), "Jpeg: quality=0 must lie from 1 to 100"),
        (lambda x: Jpeg()(x[:, :2]), "images have 2 channels: Jpeg takes 1"),
        (lambda x: DifferentiableJpeg()(x[:, :2]), "images have 2 channels: DifferentiableJpeg takes 1"),
        (lambda x: DifferentiableJpeg(101), "DifferentiableJpeg: quality=101 must lie from 1 to 100"),
        (lambda x: MedianSmoothing(0), "MedianSmoothing: size=0 must be at least 1"),
        (lambda x: NonLocalMeans(search=4), "NonLocalMeans: search=4 must be odd and at least 1"),
        (lambda x: NonLocalMeans(patch=-1), "NonLocalMeans: patch=-1 must be odd"),
        (lambda x: NonLocalMeans(strength=0), "NonLocalMeans: strength=0 must be above 0"),
        (lambda x: Bilateral(colour=0), "Bilateral: colour=0 must be above 0"),
        (lambda x: AnisotropicDiffusion(rate=0.3), "AnisotropicDiffusion: rate=0.3 must lie from 0 to 0.25"),
        (lambda x: Deconvolution(balance=0), "Deconvolution: balance=0 must be above 0"),
        (lambda x: TotalVariation(drop=1.5), "TotalVariation: drop=1.5 must lie from 0 to 1"),
        (lambda x: DctDenoise(block=1), "DctDenoise: block=1 must be at least 2"),
        (lambda x: Crop(0), "Crop: share=0 must lie from 0.1 to 1"),
        (lambda x: RandomResizePad(resize=False, pad=False), "resize=False and pad=False leave nothing to chance"),
        (lambda x: Quilting(BANK[:0]), r"Quilting: bank holds patches of shape \(0, 3, 5, 5\), but at least one"),
        (lambda x: Quilting(BANK, overlap=5), "Quilting: overlap=5 must be below the patches' size, 5"),
        (
            lambda x: Quilting(BANK, neighbors=301),
            "neighbors=301 and cells=None must not exceed the bank's 300 patches",
        ),
        (lambda x: Quilting(BANK)(x[:, :1]), "images have 1 channels, but Quilting's patches have 3"),
    ],
)
def test_refused_in_words(call, message, photographs):
    with pytest.raises(ValueError, match=message):
        call(photographs)


@pytest.mark.parametrize("row", EXACT)
def test_exact_gradients_are_derivatives(row):
    """Along a few directions, in float64; where chance decides, pixels decide the draws, which have no derivative."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(1, 3, 18, 17, dtype=torch.float64, generator=generator) * 0.4 + 0.3
    weights = torch.rand(images.shape, dtype=torch.float64, generator=generator) - 0.5
    defense = ROWS[row]
    (gradient,) = torch.autograd.grad((defense(images.requires_grad_()) * weights).sum(), images)
    with torch.no_grad():
        for _ in range(5):
            step = torch.randn(images.shape, dtype=torch.float64, generator=generator) * 1e-8
            change = ((defense(images + step) - defense(images - step)) * weights).sum() / 2
            torch.testing.assert_close(change, (gradient * step).sum(), rtol=1e-3, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # jsonargparse renames a method
def test_every_defence_can_be_written_in_a_config(tmp_path):
    torch.save(BANK, tmp_path / "bank.pt")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Defense, "defense")
    config = """
defense:
  class_path: defenses.Sequence
  init_args:
    parts:
    - class_path: defenses.PixelDeflection
      init_args:
        deflections: 50
        activation_map: {class_path: defenses.RobustActivationMap, init_args: {classes: 3}}
        sampling: {class_path: defenses.GaussianSampling, init_args: {width: 0.3}}
        replacement: min
    - {class_path: defenses.WaveletDenoise, init_args: {threshold: sure, color: rgb, sigma: null}}
    - {class_path: defenses.Quilting, init_args: {bank: bank.pt}}
    - {class_path: defenses.TotalVariation}
"""
    read = parser.instantiate_classes(parser.parse_string(config)).defense
    assert repr(read) == (
        "Sequence([PixelDeflection(deflections=50, window=10, activation_map=RobustActivationMap(classes=3), "
        "mode=Paper, sampling=GaussianSampling(width=0.3), replacement=WindowMinimum), "
        "WaveletDenoise(wavelet=db1, sigma=None, "
        "levels=None, threshold=Sure, shrinkage=Soft, color=Rgb, units=RgbUnits), Quilting(size=5, overlap=2, "
        "neighbors=1, cells=None, probes=16), TotalVariation(weight=0.03, drop=0.5, steps=100)])"
    )
