"""JPEG and the cosine transform against Pillow and SciPy."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn, idctn

from defenses import DctDenoise, DifferentiableJpeg, Jpeg
from defenses.blocks import from_blocks, harmonics, to_blocks
from defenses.thresholds import Bayes


@pytest.mark.parametrize("subsample", [True, False])
@pytest.mark.parametrize("quality", [10, 75, 95])
def test_jpeg_is_pillows(quality, subsample, large_photographs):
    for images in (large_photographs, large_photographs[:, :1, :50, :41]):
        restored = (Jpeg(quality, subsample)(images) * 255).round().byte()
        for image, mine in zip((images * 255).round().byte(), restored):
            file = BytesIO()
            picture = Image.fromarray(image.permute(1, 2, 0).squeeze(2).contiguous().numpy())
            picture.save(file, "JPEG", quality=quality, subsampling=2 if subsample else 0)
            theirs = np.asarray(Image.open(file))
            np.testing.assert_array_equal(mine.permute(1, 2, 0).squeeze(2).numpy(), theirs)


@pytest.mark.parametrize("subsample", [True, False])
@pytest.mark.parametrize(("quality", "hard", "soft"), [(95, 1.2, 1.2), (75, 1.1, 1.9), (50, 1, 2), (20, 1, 2.2)])
def test_the_differentiable_one_is_close_to_the_codec(quality, hard, soft, subsample, large_photographs):
    """Mean differences in grey levels; a block differs where whole numbers round a coefficient otherwise."""
    for images in (large_photographs, large_photographs[:, :, :85, :67]):
        real = Jpeg(quality, subsample)(images)
        for rounding, most in ((False, hard), (True, soft)):
            difference = (DifferentiableJpeg(quality, subsample, rounding)(images) - real).abs().mean() * 255
            assert difference < most
            if quality <= 75:
                assert difference < (real - images).abs().mean() * 255 / 3.5


def test_grey_pictures_agree_too(large_photographs):
    grey = large_photographs[:, 1:2]
    assert (DifferentiableJpeg(75, soft=False)(grey) - Jpeg(75)(grey)).abs().mean() < 0.7 / 255


def test_the_gradient_of_soft_rounding_is_its_own():
    images = torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    assert torch.autograd.gradcheck(DifferentiableJpeg(60), images.requires_grad_(), eps=1e-7, atol=1e-3)


def test_the_codec_has_the_gradient_of_its_twin(photographs):
    images = photographs[:2].clone().requires_grad_()
    weights = torch.linspace(-1, 1, images.numel()).view_as(images)
    ours, twins = (
        torch.autograd.grad((defense(images) * weights).sum(), images)[0]
        for defense in (Jpeg(60, subsample=False), DifferentiableJpeg(60, subsample=False))
    )
    assert torch.equal(ours, twins)


def test_blocks_and_their_transform_are_scipys():
    channels = torch.rand(2, 3, 19, 30, dtype=torch.float64)
    for side in (2, 5, 8):
        blocks, basis = to_blocks(channels, side), harmonics(side, channels)
        assert torch.equal(from_blocks(blocks, (19, 30)), channels)
        ours = basis @ blocks @ basis.T
        np.testing.assert_allclose(ours.numpy(), dctn(blocks.numpy(), axes=(4, 5), norm="ortho"), atol=1e-12)
    assert torch.equal(to_blocks(channels, 8)[..., 0, 1, :, :], channels[..., :8, 8:16])


@pytest.mark.parametrize("shrinkage", ["soft", "hard"])
def test_cosine_denoising_by_hand(shrinkage, large_photographs):
    images = large_photographs[:1, :, :40, :48].double()
    ours = DctDenoise(0.05, shrinkage=shrinkage, color="rgb")(images)[0]
    for image, mine in zip(images[0], ours):
        blocks = dctn(image.numpy().reshape(5, 8, 6, 8).transpose(0, 2, 1, 3), axes=(2, 3), norm="ortho")
        for row, column in np.ndindex(8, 8):
            band = blocks[:, :, row, column]
            if row or column:
                threshold = Bayes().of(torch.from_numpy(band.reshape(1, -1).copy()), torch.tensor([[0.05]]), 0).item()
                less = np.sign(band) * np.maximum(np.abs(band) - threshold, 0)
                blocks[:, :, row, column] = less if shrinkage == "soft" else band * (np.abs(band) > threshold)
        theirs = idctn(blocks, axes=(2, 3), norm="ortho").transpose(0, 2, 1, 3).reshape(40, 48)
        np.testing.assert_allclose(mine.numpy(), theirs.clip(0, 1), atol=1e-7)
