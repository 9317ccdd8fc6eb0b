"""The wavelet transform and its thresholds against PyWavelets, scikit-image and direct formulas."""

import numpy as np
import pytest
import pywt
import torch

from defenses import DctDenoise, WaveletDenoise
from defenses.colour import Rgb, YCbCr
from defenses.noise_level import RgbUnits, estimated
from defenses.thresholds import Bayes, Sure, Visu
from defenses.wavelets import compose, decompose, filters_of

WAVELETS = ["db1", "db2", "db5", "sym4", "coif1", "bior2.2", "rbio3.1"]
SIZES = [(64, 64), (63, 65), (37, 50), (224, 61)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_the_transform_is_pywavelets(wavelet, size):
    images = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    coarse, details = decompose(images, filters_of(wavelet), 2)
    theirs = pywt.wavedec2(images.numpy(), wavelet, level=2)
    np.testing.assert_allclose(coarse.numpy(), theirs[0], atol=1e-10)
    for ours, level in zip(reversed(details), theirs[1:]):
        for place in range(3):
            np.testing.assert_allclose(ours[:, :, place].numpy(), level[place], atol=1e-10)
    torch.testing.assert_close(compose(coarse, details, filters_of(wavelet), size), images, rtol=0, atol=1e-10)


def test_every_discrete_wavelet_comes_back():
    images = torch.rand(1, 1, 57, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for name in pywt.wavelist(kind="discrete"):
        filters = filters_of(name)
        coarse, details = decompose(images, filters, 1)
        error = (compose(coarse, details, filters, (57, 40)) - images).abs().max()
        assert error < (1e-2 if name == "dmey" else 1e-6), name  # its filters are cut off


@pytest.mark.parametrize("size", [1, 7, 8, 100, 224, 1000])
def test_levels_are_pywavelets(size):
    for wavelet in WAVELETS:
        filters = filters_of(wavelet)
        assert filters.most_levels(size) == pywt.dwt_max_level(size, pywt.Wavelet(wavelet).dec_len), wavelet


def by_hand(image, wavelet, method, hard, sigma):
    """One channel (H, W), as scikit-image defines it."""
    levels = max(pywt.dwtn_max_level(image.shape, wavelet) - 3, 1)
    coarse, *details = pywt.wavedec2(image, wavelet, level=levels)
    if sigma is None:
        sigma = np.median(np.abs(details[-1][2])) / 0.6744897501960817
    shrunk = []
    for level in details:
        bands = []
        for band in level:
            if method == "bayes":
                signal = np.mean(band**2) - sigma**2
                threshold = sigma**2 / np.sqrt(signal) if signal > 0 else np.inf
            elif method == "visu":
                threshold = sigma * np.sqrt(2 * np.log(image.size))
            else:
                sizes = np.abs(band.ravel())
                risks = [
                    len(sizes) * sigma**2
                    - 2 * sigma**2 * (sizes <= each).sum()
                    + np.minimum(sizes, each).astype(float) @ np.minimum(sizes, each)
                    for each in sizes
                ]
                threshold = sizes[np.argmin(risks)]
            kept = np.sign(band) * np.maximum(np.abs(band) - (0 if hard else threshold), 0)
            bands.append(np.where(np.abs(band) > threshold, kept, 0))
        shrunk.append(tuple(bands))
    return pywt.waverec2([coarse, *shrunk], wavelet)[: image.shape[0], : image.shape[1]]


@pytest.mark.parametrize("sigma", [None, 0.01, 0.08])
@pytest.mark.parametrize("shrinkage", ["soft", "hard"])
@pytest.mark.parametrize("threshold", ["bayes", "visu", "sure"])
@pytest.mark.parametrize("wavelet", ["db1", "db3", "bior2.2"])
def test_denoising_by_hand(wavelet, threshold, shrinkage, sigma, large_photographs):
    images = large_photographs[:, :, :41, :36].double()
    images = (images + 0.05 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    ours = WaveletDenoise(wavelet, threshold, shrinkage, sigma, color="rgb")(images)
    for image, mine in zip(images.flatten(0, 1), ours.flatten(0, 1)):
        theirs = by_hand(image.numpy(), wavelet, threshold, shrinkage == "hard", sigma)
        np.testing.assert_allclose(mine.numpy(), theirs.clip(0, 1), atol=1e-9)


def scikit_images(image, wavelet, method, shrinkage, **options):
    """What scikit-image makes of an image (C, H, W), clipped, which it does not do itself."""
    restoration = pytest.importorskip("skimage.restoration")
    method = {"bayes": "BayesShrink", "visu": "VisuShrink"}[method]
    known = {"sigma": 0.04, "channel_axis": 0}
    return restoration.denoise_wavelet(
        image.numpy(), wavelet=wavelet, mode=shrinkage, method=method, **known, **options
    ).clip(0, 1)


@pytest.mark.parametrize("size", [(96, 96), (95, 71)])
@pytest.mark.parametrize("method", ["bayes", "visu"])
@pytest.mark.parametrize("wavelet", ["db1", "db2", "sym4"])
def test_denoising_is_scikit_images_after_clipping(wavelet, method, size, large_photographs):
    images = large_photographs[:, :, : size[0], : size[1]].double()
    for shrinkage in ("soft", "hard"):
        ours = WaveletDenoise(wavelet, method, shrinkage, sigma=0.04, color="rgb")(images)
        for image, mine in zip(images, ours):
            theirs = scikit_images(image, wavelet, method, shrinkage, rescale_sigma=False)
            np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-9)


@pytest.mark.parametrize("size", [(96, 96), (95, 71), (41, 63)])
@pytest.mark.parametrize("method", ["bayes", "visu"])
@pytest.mark.parametrize("wavelet", ["db1", "sym4"])
def test_denoising_in_ycbcr_is_scikit_images_with_its_units(wavelet, method, size, large_photographs):
    """What the defaults are; scikit-image's matrix of YCbCr has fewer digits."""
    images = large_photographs[:, :, : size[0], : size[1]].double()
    for shrinkage in ("soft", "hard"):
        ours = WaveletDenoise(wavelet, method, shrinkage, units="rgb")(images)
        assert torch.equal(ours, WaveletDenoise(wavelet, method, shrinkage)(images))
        for image, mine in zip(images, ours):
            theirs = scikit_images(image, wavelet, method, shrinkage, convert2ycbcr=True, rescale_sigma=True)
            np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-6)


def test_colours_go_there_and_back_and_agree_with_jpegs():
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    channels = YCbCr().apart(images)
    torch.testing.assert_close(YCbCr().together(channels), images)
    assert channels[:, 1:].abs().max() <= 0.5
    matrix = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]).double()
    torch.testing.assert_close(channels, torch.einsum("dc,nchw->ndhw", matrix, images), rtol=0, atol=1e-6)
    grey = torch.rand(2, 1, 4, 4)
    assert torch.equal(YCbCr().together(YCbCr().apart(grey)), grey)


def test_noise_is_carried_into_the_channels():
    noise = torch.randn(1, 3, 500, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    measured = YCbCr().apart(noise).std((2, 3))[0]
    sigma = RgbUnits().sigma(1.0, noise, YCbCr()).flatten()
    torch.testing.assert_close(sigma, measured, rtol=0.01, atol=0)
    torch.testing.assert_close(sigma, torch.tensor([0.669, 0.623, 0.657]).double(), rtol=0, atol=1e-3)
    assert Rgb().noise(2) == [1, 1]


def test_noise_is_estimated(large_photographs):
    normal = torch.randn(3, 1, 20_000, generator=torch.Generator().manual_seed(0)) * 0.07
    torch.testing.assert_close(estimated(normal), torch.full((3, 1, 1), 0.07), rtol=0.03, atol=0)
    assert estimated(torch.tensor([[[1.0, -2, 3, -40]]])).item() == pytest.approx(2.5 / 0.67449, rel=1e-4)


def test_thresholds_by_hand():
    bands, sigma = torch.tensor([[3.0, -4, 0, 0]]), torch.tensor([[1.0]])
    assert Bayes().of(bands, sigma, 4).item() == pytest.approx(1 / (25 / 4 - 1) ** 0.5)
    assert Bayes().of(bands, torch.tensor([[2.6]]), 4).item() == torch.inf
    assert Visu().of(bands, sigma, 100).item() == pytest.approx((2 * np.log(100)) ** 0.5)
    assert Sure().of(bands, sigma, 4).item() == 0  # risks: 0 without a step, 22 at 3, 21 at 4, less 4, 6 and 8
    assert Sure().of(bands, torch.tensor([[10.0]]), 4).item() == 4


def test_flat_images_stay(photographs):
    flat = torch.linspace(0, 1, 5).view(5, 1, 1, 1).expand(5, 3, 33, 47)
    for threshold in ("bayes", "visu", "sure"):
        for sigma in (0.04, None):
            torch.testing.assert_close(WaveletDenoise("db2", threshold, sigma=sigma)(flat), flat, rtol=0, atol=1e-6)


@pytest.mark.parametrize("denoise", [WaveletDenoise, DctDenoise])
def test_units_differ_as_they_say(denoise, photographs):
    """Halving a channel's range halves the noise that is stretched with it, and no other."""
    stretched, images = denoise(units="stretched", color="rgb"), photographs[1:] * 0.6 + 0.2  # nothing is clipped
    torch.testing.assert_close(stretched(images / 2), stretched(images) / 2, rtol=0, atol=1e-6)
    fixed = denoise(units="channel", color="rgb")
    assert not torch.allclose(fixed(images / 2), fixed(images) / 2, atol=1e-3)


@pytest.mark.parametrize(("units", "share"), [("rgb", (0.299**2 + 0.587**2 + 0.114**2) ** 0.5), ("channel", 1)])
@pytest.mark.parametrize("denoise", [WaveletDenoise, DctDenoise])
def test_luma_is_a_mean_with_less_noise_than_its_colours(denoise, units, share, photographs):
    grey = photographs[:, :1].double()
    ours = denoise(sigma=0.05, units=units)(grey.expand(-1, 3, -1, -1))
    theirs = denoise(sigma=0.05 * share)(grey)  # of one channel
    torch.testing.assert_close(ours, theirs.expand(-1, 3, -1, -1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("wavelet", ["db1", "sym4"])
def test_stretched_by_hand(wavelet, large_photographs):
    """A channel is stretched from its minimum to its maximum, denoised with sigma as it is, and shrunk again."""
    images = large_photographs[:, :, :41, :36].double() * 0.6 + 0.2
    ours = WaveletDenoise(wavelet, sigma=0.05, units="stretched", color="rgb")(images)
    for image, mine in zip(images.flatten(0, 1).numpy(), ours.flatten(0, 1)):
        low, width = image.min(), np.ptp(image)
        theirs = by_hand((image - low) / width, wavelet, "bayes", False, 0.05)
        np.testing.assert_allclose(mine.numpy(), (theirs * width + low).clip(0, 1), atol=1e-9)


def test_noise_goes(large_photographs):
    noisy = (large_photographs + 0.04 * torch.randn(large_photographs.shape)).clamp(0, 1)
    before = (noisy - large_photographs).square().mean()
    assert (WaveletDenoise("sym4")(noisy) - large_photographs).square().mean() < 0.9 * before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wavelet": "haarlem"}, "wavelet='haarlem' is unknown: give one of PyWavelets' discrete ones, such as db1"),
        ({"wavelet": "morl"}, "wavelet='morl' is unknown"),
        ({"sigma": -1}, "WaveletDenoise: sigma=-1 must be at least 0"),
        ({"threshold": "bays"}, "threshold='bays' is unknown: give one of bayes, visu, sure"),
        ({"shrinkage": "firm"}, "shrinkage='firm' is unknown"),
        ({"color": "lab"}, "color='lab' is unknown: give one of ycbcr, rgb"),
        ({"units": "bytes"}, "units='bytes' is unknown"),
        ({"levels": 0}, "levels=0 must be at least 1"),
        (
            {"wavelet": "db20"},
            "wavelet='db20' is too long for 1 levels on images of 32x32, which allow 0: choose a sho",
        ),
        ({"levels": 6}, "wavelet='db1' is too long for 6 levels on images of 32x32, which allow 5"),
    ],
)
def test_refused_in_words(options, message, photographs):
    with pytest.raises(ValueError, match=message):
        WaveletDenoise(**options)(photographs)
