"""Digital corruptions pixel by pixel against Pillow and plain scipy, from the same random numbers."""

import colorsys
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from corruptions import SEVERITIES, CifarSeverities, ImageNetSeverities, corruption
from corruptions.borders import doubled, mirrored
from corruptions.draws import Draws
from corruptions.resampling import affine_from, bilinear, box_resized, mapped

COUNT = 6
SCALES = [CifarSeverities(), ImageNetSeverities()]


def contrast(image, level, draws):
    pixels = image / 255
    mean = pixels.mean((0, 1))
    return ((pixels - mean) * level + mean) * 255


def pixelate(image, level, draws):
    picture = Image.fromarray(image)
    small = picture.resize((int(picture.width * level), int(picture.height * level)), Image.Resampling.BOX)
    return np.asarray(small.resize(picture.size, Image.Resampling.BOX))


def jpeg_compression(image, level, draws):
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=level)
    return np.asarray(Image.open(file))


def saturate(image, level, draws):
    coloured = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(image[place] / 255))
        coloured[place] = colorsys.hsv_to_rgb(hue, min(1, saturation * level.scale + level.shift), value)
    return coloured * 255


def elastic_transform(image, level, draws):
    size = len(image)
    third, half = size // 3, size // 2
    before = np.array([[half + third, half + third], [half + third, half - third], [half - third, half - third]])
    after = before + draws.between(-level.affine, level.affine, 3, 2, stream=0)[0].numpy()
    back = np.linalg.solve(np.column_stack([after, np.ones(3)]), before)
    rows, columns = np.indices((size, size))
    places = np.stack([columns, rows, np.ones_like(rows)], axis=2) @ back
    places = np.round(places * 32) / 32  # OpenCV's accuracy
    pixels = np.stack(
        [
            ndimage.map_coordinates(image[..., c] / 255, places[..., ::-1].transpose(2, 0, 1), order=1, mode="mirror")
            for c in range(3)
        ],
        axis=2,
    )
    across, down = draws.between(-1, 1, 2, size, size, stream=1)[0].numpy()
    across, down = (
        ndimage.gaussian_filter(field, level.sigma, mode="reflect", truncate=3) * level.alpha
        for field in (across, down)
    )
    moved = [
        ndimage.map_coordinates(pixels[..., c], [rows + down, columns + across], order=1, mode="reflect")
        for c in range(3)
    ]
    return np.stack(moved, axis=2) * 255


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    ("reference", "tolerance", "different"),
    [
        (contrast, 1, 1e-3),
        (pixelate, 0, 0),
        (jpeg_compression, 0, 0),
        (saturate, 1, 1e-2),
        (elastic_transform, 8, 0.05),  # a place that is rounded to the other side is 1/32 of a pixel off
    ],
)
def test_pixel_by_pixel(reference, tolerance, different, scale, severity, photographs):
    digital = corruption(reference.__name__, severity, scale)
    indices = torch.arange(COUNT)
    ours = digital.apply(photographs[:COUNT], indices, seed=1).permute(0, 2, 3, 1).numpy()
    keys = Draws.keyed(1, digital.name, severity, indices).keys
    pictures = photographs[:COUNT].permute(0, 2, 3, 1).numpy()
    theirs = np.stack(
        [
            reference(picture, digital.level, Draws(key)).clip(0, 255).astype(np.uint8)
            for picture, key in zip(pictures, keys.split(1))
        ]
    )
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= tolerance
    assert (difference[1:] > 0).mean() <= different


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (32, 32), (33, 61), (64, 30)])
@pytest.mark.parametrize("resized", [(1, 1), (3, 4), (20, 20), (50, 32)])
def test_boxes_are_pillows(size, resized):
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ours = box_resized(images, *resized)
    for image, mine in zip(images, ours):
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        # One axis after the other: which one today's Pillow takes first depends on the size.
        rows = picture.resize((resized[1], size[0]), Image.Resampling.BOX)
        theirs = np.asarray(rows.resize(resized[::-1], Image.Resampling.BOX))
        np.testing.assert_array_equal(mine.permute(1, 2, 0).numpy(), theirs)


def test_an_affine_map_takes_the_moved_points_back():
    moves = torch.rand(5, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4 - 2
    affine = affine_from(32, 32, moves)
    before = torch.tensor([[26, 26], [26, 6], [6, 6]], dtype=torch.float64)
    after = torch.cat([before + moves, torch.ones(5, 3, 1)], dim=2)
    torch.testing.assert_close(after @ affine.mT, before.expand(5, 3, 2), rtol=0, atol=1e-5)
    rows, columns = mapped(affine_from(32, 32, torch.zeros_like(moves)), 32, 32)
    assert torch.equal(rows[0], torch.arange(32.0).double().unsqueeze(1).expand(32, 32))
    assert torch.equal(columns[0], torch.arange(32.0).double().expand(32, 32))


@pytest.mark.parametrize(("border", "mode"), [(mirrored, "mirror"), (doubled, "reflect")])
def test_reading_between_pixels_is_scipys(border, mode):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, 6, 9, generator=generator)
    rows, columns = (torch.rand(2, 1, 40, 40, dtype=torch.float64, generator=generator) * 60 - 25).unbind(0)
    ours = bilinear(image, rows, columns, border)[0, 0]
    theirs = ndimage.map_coordinates(
        image[0, 0].double().numpy(), [rows[0].numpy(), columns[0].numpy()], order=1, mode=mode
    )
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-6)


def test_flat_pictures_stay_flat():
    flat = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1).expand(-1, 3, 12, 12).contiguous()
    indices = torch.arange(256)
    for name in ("elastic_transform", "motion_blur", "pixelate", "contrast", "zoom_blur"):
        difference = corruption(name, 3).apply(flat, indices).int() - flat.int()
        assert difference.abs().max() <= 1, name
        assert (difference.flatten(1) == difference[:, 0, :1, 0]).all(), name


def test_the_contrast_of_flat_pictures_does_not_depend_on_memory():
    # The mean in another order is another last bit, and truncation makes a whole level of it.
    flat = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1).expand(-1, 3, 32, 32).contiguous()
    noise, indices = corruption("contrast", 1), torch.arange(256)
    there = noise.apply(flat.contiguous(memory_format=torch.channels_last), indices)
    assert torch.equal(noise.apply(flat, indices), there)
