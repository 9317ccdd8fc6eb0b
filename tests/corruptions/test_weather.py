"""Weather pixel by pixel against plain numpy, from the same random numbers."""

import colorsys
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from corruptions import SEVERITIES, CifarSeverities, Frost, ImageNetSeverities, PictureFolder, corruption
from corruptions.colour import hsv_to_rgb, rgb_to_hsv
from corruptions.draws import Draws
from corruptions.plasma import plasma

COUNT = 6
SCALES = [CifarSeverities(), ImageNetSeverities()]


def streak(layer, radius, sigma, angle):
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    rows, columns = np.indices(layer.shape)
    total = np.zeros(layer.shape)
    for step, weight in zip(steps, weights / weights.sum()):
        down, right = math.ceil(step * math.sin(angle) - 0.5), math.ceil(step * math.cos(angle) - 0.5)
        total += weight * layer[np.clip(rows + down, 0, 31), np.clip(columns + right, 0, 31)]
    return total.round()


def snow(image, level, draws):
    length = math.ceil(32 / level.zoom)
    noise = level.mean + level.deviation * draws.normal(length, length, stream=0)[0].numpy()
    layer = ndimage.zoom(noise, level.zoom, order=1)
    margin = (len(layer) - 32) // 2
    layer = layer[margin : margin + 32, margin : margin + 32]
    layer = np.floor(np.where(layer < level.threshold, 0, layer).clip(0, 1) * 255)
    angle = math.radians(draws.between(-135, -45, stream=1).item())
    flakes = streak(layer, level.radius, level.sigma, angle)[..., None] / 255
    pixels = image / 255
    white = np.maximum(pixels, (pixels @ [0.299, 0.587, 0.114])[..., None] * 1.5 + 0.5)
    return (level.weight * pixels + (1 - level.weight) * white + flakes + flakes[::-1, ::-1]) * 255


def diamond_square(size, decay, numbers):
    """The textbook's loop over single points of a torus."""
    numbers, heights = iter(numbers), np.zeros((size, size))
    step, roughness = size, 100.0

    def displaced(points):
        return sum(heights[row % size, column % size] for row, column in points) / 4 + next(numbers) * roughness**2

    while step >= 2:
        half = step // 2
        for row in range(half, size, step):
            for column in range(half, size, step):
                heights[row, column] = displaced([(row + a, column + b) for a in (-half, half) for b in (-half, half)])
        for first in ((0, half), (half, 0)):
            for row in range(first[0], size, step):
                for column in range(first[1], size, step):
                    around = ((-half, 0), (half, 0), (0, -half), (0, half))
                    heights[row, column] = displaced([(row + a, column + b) for a, b in around])
        step, roughness = half, roughness / decay
    return (heights - heights.min()) / (heights.max() - heights.min())


def fog(image, level, draws):
    cloud = diamond_square(32, level.decay, draws.between(-1, 1, 1023)[0].tolist())
    pixels = image / 255
    return (pixels + level.weight * cloud[..., None]) * pixels.max() / (pixels.max() + level.weight) * 255


def brightness(image, level, draws):
    lit = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(image[place] / 255))
        lit[place] = colorsys.hsv_to_rgb(hue, saturation, min(1, value + level))
    return lit * 255


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("reference", [snow, fog, brightness])
def test_pixel_by_pixel(reference, scale, severity, photographs):
    weather = corruption(reference.__name__, severity, scale)
    indices = torch.arange(COUNT)
    ours = weather.apply(photographs[:COUNT], indices, seed=1).permute(0, 2, 3, 1).numpy()
    keys = Draws.keyed(1, weather.name, severity, indices).keys
    for mine, picture, key in zip(ours, photographs[:COUNT].permute(0, 2, 3, 1).numpy(), keys.split(1)):
        theirs = reference(picture, weather.level, Draws(key)).clip(0, 255).astype(np.uint8)
        difference = np.abs(mine.astype(int) - theirs)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.02  # last bits of sums that are whole grey levels


@pytest.mark.parametrize("size", [2, 8, 64])
def test_clouds_go_from_0_to_1_and_are_rougher_for_less_decay(size):
    draws = Draws.keyed(0, "fog", 1, torch.arange(20))
    smooth, rough = (plasma(size, decay, draws) for decay in (3, 1.4))
    assert smooth.shape == (20, size, size)
    assert smooth.amin((1, 2)).max() == 0
    assert smooth.amax((1, 2)).min() == 1
    if size > 2:
        assert (rough.diff(dim=1).abs().mean()) > 1.5 * smooth.diff(dim=1).abs().mean()


def test_fog_keeps_black_pictures_black():
    black = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    assert corruption("fog", 5).apply(black, torch.arange(2)).max() == 0


def test_hsv_is_pythons(photographs):
    pixels = photographs[:2].double() / 255
    pixels[0, :, :3, :3] = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 1, 0]], dtype=torch.float64).T.unsqueeze(1)
    hue, saturation, value = rgb_to_hsv(pixels)
    flat = pixels.permute(0, 2, 3, 1).reshape(-1, 3).tolist()
    expected = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in flat])
    ours = torch.stack([hue, saturation, value], 3).reshape(-1, 3).numpy()
    np.testing.assert_allclose(ours[:, 1:], expected[:, 1:], atol=1e-12)
    turn = np.abs(ours[:, 0] - expected[:, 0])
    assert np.minimum(turn, 1 - turn).max() < 1e-12  # hue 0 is hue 1
    torch.testing.assert_close(hsv_to_rgb(hue, saturation, value), pixels, rtol=0, atol=1e-12)


def save_pictures(folder, count):
    """Pictures in which each pixel tells its number, row and column."""
    rows, columns = np.indices((200, 240))
    for number in range(count):
        picture = np.stack([np.full_like(rows, 10 * number), rows, columns], axis=2)
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"frost{number + 1}.png")


@pytest.mark.parametrize(("scale", "stride"), [(CifarSeverities(), 5), (ImageNetSeverities(), 1)])
def test_frost_adds_a_part_of_one_of_the_first_five_pictures(scale, stride, tmp_path):
    save_pictures(tmp_path, 6)
    black = torch.zeros(400, 3, 32, 32, dtype=torch.uint8)
    frost = Frost(3, scale, PictureFolder(tmp_path))
    laid_over = frost.apply(black, torch.arange(400)).double() / frost.level.frost
    numbers = (laid_over[:, 0] / 10).round()
    assert numbers.flatten(1).std(1).max() == 0
    assert numbers[:, 0, 0].unique().tolist() == [0, 1, 2, 3, 4]
    # The red channel of picture 1 is 0 and truncation loses less than one level, so places can be read off.
    for part, size in ((laid_over[:, 1], 200), (laid_over[:, 2].transpose(1, 2), 240)):
        steps = part.diff(dim=1).mean()
        assert steps == pytest.approx(stride, abs=0.1)
        first = part[:, 0, 0]
        assert first.min() >= 0
        assert first.max() <= size - 31 * stride
        assert first.std() == pytest.approx((size - 32 * stride) / math.sqrt(12), rel=0.15)  # all places alike


def test_small_frost_is_continued_by_its_mirror_image(tmp_path):
    picture = np.random.RandomState(0).randint(0, 256, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "ice.png")
    black = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    laid_over = Frost(1, CifarSeverities(), PictureFolder(tmp_path)).apply(black, torch.arange(1))[0]
    thin = picture[2::5, 2::5]
    wide = np.pad(thin, ((0, 24), (0, 22), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(laid_over.permute(1, 2, 0).numpy(), (0.2 * wide).astype(np.uint8))


def test_frost_is_the_weighted_sum(photographs, tmp_path):
    Image.fromarray(np.full((200, 200, 3), 130, np.uint8)).save(tmp_path / "flat.png")
    for severity in SEVERITIES:
        frost = Frost(severity, pictures=PictureFolder(tmp_path))
        ours = frost.apply(photographs, torch.arange(len(photographs))).numpy()
        expected = (frost.level.image * photographs.double().numpy() + frost.level.frost * 130.0).clip(0, 255)
        np.testing.assert_array_equal(ours, expected.astype(np.uint8))
