"""Crops, sizes and patches against Pillow-like loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from defenses import Crop, Quilting, RandomResizePad, patch_bank
from defenses.crop import _within
from defenses.patch_bank import blend, cut, join, nearest
from defenses.random_resize_pad import _placed
from defenses.resampling import read


def test_a_shrunk_image_lies_where_it_was_put(photographs):
    top, height, left, width = (torch.tensor(values) for values in ([3, 0], [20, 25], [5, 7], [18, 25]))
    placed = _placed(photographs[:2], top, height, left, width)
    for image, canvas, t, h, l_, w in zip(photographs, placed, top, height, left, width):
        small = F.interpolate(image.unsqueeze(0), (h, w), mode="bilinear", align_corners=False)[0]
        torch.testing.assert_close(canvas[:, t : t + h, l_ : l_ + w], small, rtol=0, atol=1e-5)
        assert canvas.sum() == pytest.approx(canvas[:, t : t + h, l_ : l_ + w].sum().item(), rel=1e-6)


def test_sizes_and_places_are_drawn_from_all(photographs):
    white = torch.ones_like(photographs[:1])
    defense = RandomResizePad(smallest=0.8)
    corners = []
    for run in range(300):
        rows = (defense(white, run)[0, 0].amax(1) > 0).nonzero().flatten()
        corners.append((len(rows), rows[0].item()))
    sizes = {size for size, _ in corners}
    assert sizes == set(range(26, 33))
    assert all(top <= 32 - size for size, top in corners)
    assert {top for size, top in corners if size == 28} == set(range(5))


def test_resizing_alone_fills_the_image(photographs):
    white = torch.ones_like(photographs)
    torch.testing.assert_close(RandomResizePad(smallest=0.5, pad=False)(white), white, rtol=0, atol=1e-5)
    small = RandomResizePad(smallest=0.5, resize=False)(white)
    assert ((small > 0).sum((1, 2, 3)) == 3 * 16 * 16).all()


def test_a_crop_is_the_enlarged_part(photographs):
    down, across = (_within(32, 24, torch.full((8,), start), photographs) for start in (3, 7))
    part = F.interpolate(photographs[..., 3:27, 7:31], (32, 32), mode="bilinear", align_corners=False)
    ours = read(photographs, down, across)
    torch.testing.assert_close(ours[..., 1:-1, 1:-1], part[..., 1:-1, 1:-1], rtol=0, atol=1e-4)


def test_crops_are_drawn_from_all_places():
    ramp = torch.arange(40.0).view(1, 1, 1, 40).expand(1, 1, 40, 40) / 40
    middles = torch.stack([Crop(0.8)(ramp, run)[0, 0, 20, 19:21].mean() * 40 for run in range(200)])
    assert len((middles * 2).round().unique()) == 9


def test_patches_come_from_the_images():
    images = torch.arange(2 * 3 * 12 * 14.0).view(2, 3, 12, 14)
    bank = patch_bank([images[:1], images[1:]], size=4, per_image=200)
    assert bank.shape == (400, 3, 4, 4)
    assert torch.equal(bank, patch_bank([images[:1], images[1:]], size=4, per_image=200))
    corners = bank[:, 0, 0, 0].long()
    rows, columns = corners % 504 % 168 // 14, corners % 14
    assert set(rows.tolist()) == set(range(9))
    assert set(columns.tolist()) == set(range(11))
    for patch, corner, row, column in zip(bank, corners, rows, columns):
        assert torch.equal(patch, images[corner // 504, :, row : row + 4, column : column + 4])


@pytest.mark.parametrize(("size", "step"), [(5, 3), (4, 4), (3, 1), (7, 5)])
def test_an_image_is_the_mean_of_its_patches(size, step, photographs):
    for images in (photographs, photographs[:, :, :17, :26], photographs[:, :, :4, :9]):
        patches, extent = cut(images, size, step)
        assert min(extent) >= size
        joined = join(patches, size, step, extent)[..., : images.shape[2], : images.shape[3]]
        torch.testing.assert_close(joined, images, rtol=0, atol=1e-6)


def test_neighbours_are_the_nearest():
    generator = torch.Generator().manual_seed(0)
    queries, bank = torch.rand(40, 12, generator=generator), torch.rand(1000, 12, generator=generator)
    distances = torch.cdist(queries.double(), bank.double())
    expected = distances.topk(5, largest=False).values
    for chunk in (3, 100, 5000):
        rows = nearest(queries, bank, 5, chunk)
        torch.testing.assert_close(distances.gather(1, rows), expected, rtol=0, atol=1e-5)


def test_an_image_that_is_in_the_bank_comes_back(photographs):
    bank = torch.cat([photographs[:2].unfold(2, 5, 1).unfold(3, 5, 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)])
    quilted = Quilting(bank)(photographs[:2, :, :32, :32])
    torch.testing.assert_close(quilted[..., :29, :29], photographs[:2, :, :29, :29], rtol=0, atol=1e-5)
    others = Quilting(bank)(photographs[2:4])
    assert 0.001 < (others - photographs[2:4]).abs().mean() < 0.2


def test_lists_find_nearly_the_same(photographs):
    bank = patch_bank([photographs], per_image=200)
    exact = Quilting(bank)(photographs[:2])
    lists = Quilting(bank, cells=8, probes=8)(photographs[:2])
    torch.testing.assert_close(lists, exact, rtol=0, atol=1e-6)
    few = Quilting(bank, cells=8, probes=1)(photographs[:2])
    assert (few - exact).abs().mean() < 0.05


def test_neighbours_are_chosen_by_chance(photographs):
    bank = patch_bank([photographs], per_image=200)
    defense = Quilting(bank, neighbors=4)
    runs = torch.stack([defense(photographs[:1], run) for run in range(10)])
    assert len(runs.flatten(1).unique(dim=0)) == 10
    assert np.isfinite(runs.numpy()).all()


def test_near_patches_are_weighed_by_distance():
    generator = torch.Generator().manual_seed(0)
    patches = torch.rand(3, 7, dtype=torch.float64, generator=generator).requires_grad_()
    near = torch.rand(3, 4, 7, dtype=torch.float64, generator=generator)
    distances = (patches.unsqueeze(1) - near).square().sum(2)
    spread = distances.amax(1, keepdim=True) - distances.amin(1, keepdim=True)
    weights = (-distances / spread.detach()).softmax(1)
    torch.testing.assert_close(weights.amax(1) / weights.amin(1), torch.full((3,), math.e, dtype=torch.float64))
    expected = (weights.unsqueeze(2) * near).sum(1)
    torch.testing.assert_close(blend(patches, near), expected)
    direction = torch.rand(3, 7, dtype=torch.float64, generator=generator)
    ours, theirs = (
        torch.autograd.grad((mean * direction).sum(), patches)[0] for mean in (blend(patches, near), expected)
    )
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(blend(patches, near[:, :1]), near[:, 0])


@pytest.mark.parametrize("options", [{}, {"neighbors": 2}, {"cells": 2, "probes": 2}])
def test_only_what_tells_patches_apart_carries_a_gradient(options):
    bank = torch.full((2, 1, 3, 3), 0.5)
    bank[1, 0, 1, 1] = 1
    image = torch.full((1, 1, 3, 3), 0.6, requires_grad=True)
    (gradient,) = torch.autograd.grad(Quilting(bank, overlap=0, **options)(image).sum(), image)
    middle = gradient[0, 0, 1, 1].item()
    gradient[0, 0, 1, 1] = 0
    assert gradient.abs().max() < 1e-5 * middle  # but for rounding


def test_a_bank_is_read_from_a_file(photographs, tmp_path):
    bank = patch_bank([photographs])
    torch.save(bank, tmp_path / "bank.pt")
    torch.testing.assert_close(Quilting(str(tmp_path / "bank.pt"))(photographs), Quilting(bank)(photographs))


def test_refused_in_words(photographs):
    with pytest.raises(ValueError, match="patch_bank: there are no images"):
        patch_bank([])
    with pytest.raises(ValueError, match="patch_bank: size=40 is larger than images of 32x32"):
        patch_bank([photographs], size=40)
