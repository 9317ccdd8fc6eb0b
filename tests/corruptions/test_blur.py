"""Blurs pixel by pixel against plain numpy and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from corruptions import SEVERITIES, CifarSeverities, ImageNetSeverities, corruption
from corruptions.draws import Draws
from corruptions.filters import disk
from corruptions.glass import shuffled_from

COUNT = 6
SCALES = [CifarSeverities(), ImageNetSeverities()]


def gaussian(image, sigma):
    """Of an (H, W, C) picture in [0, 1]."""
    return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest", truncate=4)


def to_bytes(levels):
    return levels.clip(0, 255).astype(np.uint8)


def lens(radius, alias):
    """A disk, smoothed by a Gaussian that is cut off after one pixel (two for large disks); float32 throughout."""
    reach = max(8, math.ceil(radius))
    steps = np.arange(-reach, reach + 1)
    kernel = (np.hypot(*np.meshgrid(steps, steps)) <= radius).astype(np.float32)
    kernel /= kernel.sum()
    taps = 1 if radius <= 8 else 2
    weights = np.exp(-(np.arange(-taps, taps + 1) ** 2) / (2 * alias**2))
    for axis in (1, 0):
        kernel = ndimage.correlate1d(kernel, (weights / weights.sum()).astype(np.float32), axis, mode="mirror")
    return kernel.astype(np.float64)


def defocus_blur(image, level, draws):
    filtered = [ndimage.correlate(image[..., c] / 255, lens(*level), mode="mirror") for c in range(3)]
    return np.stack(filtered, axis=2) * 255


def gaussian_blur(image, level, draws):
    return gaussian(image / 255, level) * 255


def glass_blur(image, level, draws):
    sigma, reach, passes = level
    moved = to_bytes(gaussian(image / 255, sigma) * 255)
    height, width = moved.shape[:2]
    for each in range(passes):
        down, right = draws.integers(-reach, reach, 2, height, width, stream=each)[0].numpy()
        for row in reversed(range(reach + 1, height - reach + 1)):
            for column in reversed(range(reach + 1, width - reach + 1)):
                # Half a swap: the neighbour is not overwritten.
                moved[row, column] = moved[row + down[row, column], column + right[row, column]]
    return gaussian(moved / 255, sigma) * 255


def motion_blur(image, level, draws):
    radius, sigma = level
    angle = math.radians(draws.between(-45, 45).item())
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    rows, columns = np.indices(image.shape[:2])
    total = np.zeros(image.shape)
    for step, weight in zip(steps, weights / weights.sum()):
        down, right = math.ceil(step * math.sin(angle) - 0.5), math.ceil(step * math.cos(angle) - 0.5)
        places = [np.clip(rows + down, 0, len(image) - 1), np.clip(columns + right, 0, image.shape[1] - 1)]
        total += weight * image[tuple(places)]
    return total.round()


def zoom_blur(image, level, draws):
    pixels = (image / 255).astype(np.float32)
    total, size = pixels.copy(), len(image)
    for factor in level.factors():
        length = math.ceil(size / factor)
        start = (size - length) // 2
        part = pixels[start : start + length, start : start + length]
        larger = ndimage.zoom(part, (factor, factor, 1), order=1)
        margin = (len(larger) - size) // 2
        total += larger[margin : margin + size, margin : margin + size]
    return total / (level.number + 1) * 255


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    ("reference", "tolerance", "different"),
    [
        (gaussian_blur, 0, 0),
        (glass_blur, 0, 0),
        (defocus_blur, 1, 1e-3),
        (motion_blur, 1, 1e-3),
        (zoom_blur, 1, 1e-2),
    ],
)
def test_pixel_by_pixel(reference, tolerance, different, scale, severity, photographs):
    blur = corruption(reference.__name__, severity, scale)
    indices = torch.arange(COUNT)
    ours = blur.apply(photographs[:COUNT], indices, seed=1).permute(0, 2, 3, 1).numpy()
    keys = Draws.keyed(1, blur.name, severity, indices).keys
    pictures = photographs[:COUNT].permute(0, 2, 3, 1).numpy()
    theirs = np.stack(
        [to_bytes(reference(picture, blur.level, Draws(key))) for picture, key in zip(pictures, keys.split(1))]
    )
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= tolerance
    # The first photograph is flat, where the last bit of a sum decides about a whole grey level.
    assert (difference[1:] > 0).mean() <= different


@pytest.mark.parametrize("level", [*CifarSeverities.defocus_blur, *ImageNetSeverities.defocus_blur])
def test_a_lens_keeps_the_light(level):
    kernel = disk(*level).double()
    # The benchmark's largest disks reach the border of their array, where the smoothing mirrors them.
    assert kernel.sum().item() == pytest.approx(1, abs=1e-6 if level.radius < 8 else 0.015)
    np.testing.assert_allclose(kernel.numpy(), lens(*level), atol=1e-7)


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_glass_follows_chains_of_copies(reach):
    """Against the walk itself, on pictures whose pixels are all different."""
    generator = torch.Generator().manual_seed(reach)
    down, right = torch.randint(-reach, reach, (2, 3, 12, 15), generator=generator)
    ours = shuffled_from(down, right, reach).view(3, 12, 15)
    for each in range(3):
        walked = np.arange(12 * 15).reshape(12, 15)
        for row in range(12 - reach, reach, -1):
            for column in range(15 - reach, reach, -1):
                walked[row, column] = walked[row + down[each, row, column], column + right[each, row, column]]
        np.testing.assert_array_equal(ours[each].numpy(), walked)


def test_cifars_glass_moves_up_and_left_only(photographs):
    draws = Draws.keyed(0, "glass_blur", 1, torch.arange(10))
    assert draws.integers(-1, 1, 2, 32, 32).unique().tolist() == [-1, 0]
