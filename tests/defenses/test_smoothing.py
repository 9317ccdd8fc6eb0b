"""Smoothing filters against SciPy, OpenCV, scikit-image and direct formulas."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from defenses import (
    AnisotropicDiffusion,
    Bilateral,
    Deconvolution,
    MedianSmoothing,
    NonLocalMeans,
    OpenCVNonLocalMeans,
    TotalVariation,
    opencv,
)
from defenses.total_variation import flattened


@pytest.fixture
def without_opencv(monkeypatch):
    """As if it were not installed."""
    monkeypatch.setattr(opencv, "installed", lambda: False)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_the_median_is_scipys(size, photographs, without_opencv):
    for images in (photographs, photographs[:, :, :9, :5], photographs[:, :1, :3, :3].double()):
        theirs = ndimage.median_filter(images.numpy(), (1, 1, size, size), mode="reflect")
        np.testing.assert_array_equal(MedianSmoothing(size)(images).numpy(), theirs)


def test_opencv_gives_the_same_bits(photographs, monkeypatch):
    pytest.importorskip("cv2")
    for images in (photographs, photographs[:, :1, :5, :2], photographs.to(memory_format=torch.channels_last)):
        fast = MedianSmoothing(3)(images)
        monkeypatch.setattr(opencv, "installed", lambda: False)
        assert torch.equal(MedianSmoothing(3)(images), fast)
        monkeypatch.undo()


def test_the_median_has_the_gradient_of_its_pixel():
    images = torch.rand(2, 3, 12, 11, dtype=torch.float64, requires_grad=True)
    for size in (2, 3, 4):
        smooth = MedianSmoothing(size)(images)
        weights = torch.rand_like(images)
        (gradient,) = torch.autograd.grad((smooth * weights).sum(), images)
        origin = (smooth.detach().flatten(2).unsqueeze(3) == images.detach().flatten(2).unsqueeze(2)).double()
        torch.testing.assert_close(gradient.flatten(2), (origin * weights.flatten(2).unsqueeze(3)).sum(2))


def direct_non_local_means(image, search, patch, strength):
    """The definition, pixel by pixel, of an image (C, H, W) in [0, 1]."""
    reach, border = search // 2, patch // 2
    wide = np.pad(image, ((0, 0), *((reach + border, reach + border),) * 2), mode="reflect")
    result = np.empty_like(image)
    for row, column in np.ndindex(image.shape[1:]):
        row, column = row + reach + border, column + reach + border
        here = wide[:, row - border : row + border + 1, column - border : column + border + 1]
        total = weights = 0
        for down, right in np.ndindex(search, search):
            r, c = row + down - reach, column + right - reach
            there = wide[:, r - border : r + border + 1, c - border : c + border + 1]
            weight = np.exp(-np.mean((here - there) ** 2) / (strength / 255) ** 2)
            total, weights = total + weight * wide[:, r, c], weights + weight
        result[:, row - reach - border, column - reach - border] = total / weights
    return result


@pytest.mark.parametrize(("search", "patch", "strength"), [(5, 3, 10), (3, 5, 30), (7, 1, 4), (1, 1, 1)])
def test_non_local_means_by_definition(search, patch, strength, photographs):
    for image in (photographs[1, :, :14, :11].double(), photographs[2, :1, :12, :12].double()):
        ours = NonLocalMeans(search, patch, strength)(image.unsqueeze(0))[0]
        np.testing.assert_allclose(ours.numpy(), direct_non_local_means(image.numpy(), search, patch, strength))


@pytest.mark.parametrize(("search", "patch", "strength"), [(11, 3, 2), (13, 3, 4), (7, 5, 10)])
def test_non_local_means_is_opencvs_but_for_bytes(search, patch, strength, large_photographs):
    pytest.importorskip("cv2")
    for images in (large_photographs, large_photographs[:, 1:2]):
        difference = NonLocalMeans(search, patch, strength)(images) - OpenCVNonLocalMeans(search, patch, strength)(
            images
        )
        assert difference.abs().max() < 2.5 / 255
        assert difference.abs().mean() < 0.5 / 255


def test_opencv_is_asked_for_in_words(without_opencv):
    with pytest.raises(ValueError, match="needs OpenCV, which is not installed: pip install opencv-python-headless"):
        OpenCVNonLocalMeans()


def test_bilateral_by_definition(photographs):
    image, reach = photographs[1, :, :15, :12].double().numpy(), 3
    wide = np.pad(image, ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    theirs = np.empty_like(image)
    steps = np.arange(-reach, reach + 1)
    near = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * 1.5**2))
    for row, column in np.ndindex(image.shape[1:]):
        window = wide[:, row : row + 7, column : column + 7]
        weights = near * np.exp(-((window - image[:, row, column, None, None]) ** 2).sum(0) / (2 * 0.1**2))
        theirs[:, row, column] = (window * weights).sum((1, 2)) / weights.sum()
    ours = Bilateral(distance=1.5, colour=0.1)(torch.from_numpy(image).unsqueeze(0))[0]
    np.testing.assert_allclose(ours.numpy(), theirs)


def test_diffusion_by_definition(photographs):
    image = photographs[1, 0, :9, :7].double().numpy()
    theirs = image.copy()
    for _ in range(4):
        wide = np.pad(theirs, 1, mode="edge")
        steps = [wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]]
        theirs = theirs + 0.2 * sum((step - theirs) * np.exp(-(((step - theirs) / 0.1) ** 2)) for step in steps)
    ours = AnisotropicDiffusion(steps=4, edge=0.1, rate=0.2)(torch.from_numpy(image).view(1, 1, 9, 7))
    np.testing.assert_allclose(ours[0, 0].numpy(), theirs)


def test_diffusion_keeps_the_mean_and_calms(large_photographs):
    smooth = AnisotropicDiffusion(steps=30, edge=0.2)(large_photographs)
    torch.testing.assert_close(smooth.mean((2, 3)), large_photographs.mean((2, 3)), rtol=0, atol=1e-5)
    assert smooth.diff(dim=3).abs().mean() < 0.7 * large_photographs.diff(dim=3).abs().mean()


def test_deconvolution_is_scikit_images(large_photographs):
    restoration = pytest.importorskip("skimage.restoration")
    defense = Deconvolution(blur=0.7, balance=0.05)
    images = large_photographs.double()
    kernel = defense._kernel(images).numpy()
    for image, mine in zip(images.flatten(0, 1), defense(images).flatten(0, 1)):
        theirs = restoration.wiener(image.numpy(), kernel, 0.05, clip=False)
        np.testing.assert_allclose(mine.numpy(), theirs.clip(0, 1), atol=1e-6)


def test_total_variation_reaches_its_minimum(large_photographs):
    """Against scikit-image's projection algorithm, which solves the same problem without dropped pixels."""
    restoration = pytest.importorskip("skimage.restoration")
    images = large_photographs.double()
    ours = TotalVariation(weight=0.1, drop=0, steps=400)(images)
    for image, mine in zip(images.flatten(0, 1), ours.flatten(0, 1)):
        theirs = restoration.denoise_tv_chambolle(image.numpy(), weight=0.1, eps=1e-9, max_num_iter=2000)
        np.testing.assert_allclose(mine.numpy(), theirs, atol=5e-3)


def test_few_steps_of_total_variation_have_their_own_gradient():
    """By central differences; a hundred steps have that of the first ten."""
    generator = torch.Generator().manual_seed(0)
    images, step, weights = torch.rand(3, 2, 3, 9, 8, dtype=torch.float64, generator=generator)
    defense = TotalVariation(weight=0.05, drop=0, steps=10)
    images, step = images.clone().requires_grad_(), 1e-7 * step
    (gradient,) = torch.autograd.grad((defense(images) * weights).sum(), images)
    change = ((defense(images.detach() + step) - defense(images.detach() - step)) * weights).sum() / 2
    torch.testing.assert_close(change, (gradient * step).sum(), rtol=1e-5, atol=0)
    long = TotalVariation(weight=0.05, drop=0)
    assert torch.equal(torch.autograd.grad((long(images) * weights).sum(), images)[0], gradient)


@pytest.mark.parametrize("seed", [None, 3])
def test_dropped_pixels_have_no_gradient(seed, photographs):
    defense, images = TotalVariation(drop=0.4), photographs[:4].clone().requires_grad_()
    defense.generator = None if seed is None else torch.Generator().manual_seed(seed)
    (gradient,) = torch.autograd.grad(defense(images).sum(), images)
    defense.generator = None if seed is None else torch.Generator().manual_seed(seed)
    dropped = defense.streams(images, 0).uniform(1, *images.shape[2:]) < 0.4
    assert 0.3 < dropped.double().mean() < 0.5
    assert (gradient[dropped.expand_as(images)] == 0).all()
    assert (gradient[~dropped.expand_as(images)] != 0).double().mean() > 0.99


def test_opencvs_non_local_means_have_the_gradient_of_ours(photographs):
    pytest.importorskip("cv2")
    images = photographs[:2].clone().requires_grad_()
    weights = torch.linspace(-1, 1, images.numel()).view_as(images)
    ours, theirs = (
        torch.autograd.grad((defense(7, 3, 8)(images) * weights).sum(), images)[0]
        for defense in (NonLocalMeans, OpenCVNonLocalMeans)
    )
    assert torch.equal(theirs, ours)


def energy(images, first, kept, weight):
    down, across = torch.zeros_like(images), torch.zeros_like(images)
    down[:, :, :-1], across[..., :-1] = images.diff(dim=2), images.diff(dim=3)
    return 0.5 * (kept * (images - first)).square().sum() + weight * torch.hypot(down, across).sum()


def test_total_variation_with_dropped_pixels_goes_down(photographs):
    images = photographs.double()
    kept = (torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0)) > 0.5).double()
    energies = [energy(flattened(images, kept, 0.03, steps), images, kept, 0.03) for steps in (1, 10, 100, 1000)]
    assert energies == sorted(energies, reverse=True)
    assert energies[2] < energies[-1] * 1.01
    best = flattened(images, kept, 0.03, 1000)
    for _ in range(5):
        assert energy(best + 1e-3 * torch.randn_like(best), images, kept, 0.03) > energies[-1]


def test_dropped_pixels_do_not_count(photographs):
    kept = (torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0)) > 0.3).float()
    other = torch.where(kept > 0, photographs, 1 - photographs)
    ours, theirs = (flattened(images, kept, 0.02, 1000) for images in (photographs, other))
    assert (ours - theirs).abs().mean() < 1e-3  # far from kept pixels both are still on their way
