"""Whole-batch augmentations against one image at a time."""

import pytest
import torch
from torch.nn import functional

from datamodules.augmentations import RandomCrop, RandomFlip, RandomResizedCrop, crop, flip
from datamodules.batches import keyed_generator


@pytest.fixture
def images():
    return torch.randint(256, (17, 3, 8, 6), dtype=torch.uint8, generator=keyed_generator(0))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_crop_equals_slicing_each_padded_image(images, dtype):
    images = images.to(dtype)
    top, left = torch.randint(5, (2, 17), generator=keyed_generator(1))
    padded = functional.pad(images, [2, 2, 2, 2])
    expected = torch.stack(
        [image[:, t : t + 8, s : s + 6] for image, t, s in zip(padded, top.tolist(), left.tolist(), strict=True)]
    )
    assert torch.equal(crop(images, top, left, 2), expected)


def test_flip_mirrors_the_chosen_images_alone(images):
    chosen = torch.arange(17) % 2
    result = flip(images, chosen)
    assert torch.equal(result[0::2], images[0::2])
    assert torch.equal(result[1::2], images[1::2].flip(3))


def test_crop_and_flip_agree_with_torchvision(images):
    from torchvision.transforms.v2 import functional as vision

    integers = RandomCrop(4).draw(17, keyed_generator(2))
    ours = RandomFlip().apply(RandomCrop(4).apply(images, integers), torch.ones(17, 1, dtype=torch.int64))
    for image, (top, left), result in zip(images, integers.tolist(), ours, strict=True):
        theirs = vision.horizontal_flip(vision.crop(vision.pad(image, [4]), top, left, 8, 6))
        assert torch.equal(result, theirs)


def test_crop_offsets_and_flips_are_uniform():
    integers = RandomCrop(2).draw(20_000, keyed_generator(3))
    shares = torch.bincount(integers.flatten(), minlength=5) / 40_000
    assert shares.sub(0.2).abs().max() < 0.01
    assert abs(RandomFlip().draw(20_000, keyed_generator(4)).float().mean() - 0.5) < 0.02


def test_resized_crop_gives_the_size_and_stays_inside():
    crop_to = RandomResizedCrop(size=16)
    rows = crop_to.draw(500, keyed_generator(5)).tolist()
    for top, left, tall, wide in (crop_to.box(row, 40, 60) for row in rows):
        assert 0 <= top <= 40 - tall
        assert 0 <= left <= 60 - wide
        assert tall >= 1
        assert wide >= 1
    shares = [tall * wide / 2400 for _, _, tall, wide in (crop_to.box(row, 40, 60) for row in rows)]
    assert min(shares) > 0.06
    picture = torch.randint(256, (1, 3, 40, 60), dtype=torch.uint8)
    assert crop_to.apply(picture, torch.tensor(rows[:1])).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [(lambda: RandomCrop(0), "padding=0"), (lambda: RandomResizedCrop(min_area=0), "min_area=0")],
)
def test_bad_options_are_named(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
