"""Spatter's parts against plain loops."""

from heapq import heappop, heappush

import numpy as np
import pytest
import torch
from scipy import ndimage

from corruptions import CifarSeverities, ImageNetSeverities, Spatter
from corruptions.edges import distance, edges
from corruptions.spatter import equalised, water


def canny(picture, low, high):
    """By single pixels: Sobel, the larger of each line of three, and what is connected to a strong one."""
    picture = picture.astype(int)
    right = ndimage.sobel(picture, 1, mode="nearest")
    down = ndimage.sobel(picture, 0, mode="nearest")
    size = np.pad(np.abs(right) + np.abs(down), 1)
    ridge = np.zeros(picture.shape, bool)
    for row, column in np.ndindex(picture.shape):
        here = size[row + 1, column + 1]
        angle = np.degrees(np.arctan2(abs(down[row, column]), abs(right[row, column])))
        sign = 1 if (down[row, column] < 0) == (right[row, column] < 0) else -1
        step = (0, 1) if angle < 22.5 else (1, 0) if angle > 67.5 else (1, sign)
        before, after = size[row + 1 - step[0], column + 1 - step[1]], size[row + 1 + step[0], column + 1 + step[1]]
        straight = 0 in step
        ridge[row, column] = here > low and here > before and (here >= after if straight else here > after)
    parts, _ = ndimage.label(ridge, np.ones((3, 3)))
    strong = np.unique(parts[ridge & (size[1:-1, 1:-1] > high)])
    return np.isin(parts, strong[strong > 0])


def shortest_paths(edge, most):
    """Dijkstra over straight, diagonal and knight's steps."""
    moves = {(a, b): {1: 1.0, 2: 1.4, 5: 2.1969}.get(a * a + b * b) for a in range(-2, 3) for b in range(-2, 3)}
    far = np.where(edge, 0.0, most)
    queue = [(0.0, *place) for place in np.argwhere(edge).tolist()]
    while queue:
        length, row, column = heappop(queue)
        for (a, b), step in moves.items():
            place = row + a, column + b
            if step and 0 <= place[0] < len(far) and 0 <= place[1] < far.shape[1] and length + step < far[place]:
                far[place] = length + step
                heappush(queue, (length + step, *place))
    return far


def blobs(seed, sigma=1.0):
    noise = ndimage.gaussian_filter(np.random.RandomState(seed).normal(0.65, 0.3, (24, 30)), sigma, mode="nearest")
    return np.floor(np.where(noise < 0.69, 0, noise).clip(0, 1) * 255)


@pytest.mark.parametrize("seed", range(5))
def test_edges_are_cannys(seed):
    pictures = np.stack([blobs(seed), blobs(seed + 100, 2)], axis=2)
    ours = edges(torch.from_numpy(pictures).long(), 50, 150).numpy()
    for number in range(2):
        np.testing.assert_array_equal(ours[..., number], canny(pictures[..., number], 50, 150))
    assert ours.any()


@pytest.mark.parametrize("share", [0, 0.004, 0.05])
def test_distances_are_shortest_paths(share):
    edge = np.random.RandomState(3).uniform(size=(40, 50)) < share
    ours = distance(torch.from_numpy(edge).unsqueeze(2), 20)[..., 0].numpy()
    np.testing.assert_allclose(ours, shortest_paths(edge, 20), atol=1e-3)
    if share:
        true = ndimage.distance_transform_edt(~edge).clip(max=20)
        np.testing.assert_allclose(ours, true, rtol=0.03, atol=0)


def test_equalised_levels_spread_over_all():
    levels = torch.tensor([3, 3, 7, 9, 9, 9]).view(6, 1, 1).expand(6, 1, 2).clone()
    levels[:, :, 1] = 4
    spread = equalised(levels)
    assert spread[:, 0, 0].tolist() == [0, 0, 64, 255, 255, 255]  # 1 and 4 of the 4 pixels that are lighter
    assert spread[:, 0, 1].tolist() == [4] * 6


def test_water_is_as_strong_as_asked_and_only_where_it_is_wet():
    liquid = torch.from_numpy(np.stack([blobs(0), blobs(1), np.zeros((24, 30))], axis=2))
    cover = water(liquid, 0.5)
    assert cover.amax((0, 1)).tolist() == [0.5, 0.5, 0]
    assert (cover[liquid == 0] == 0).all()


@pytest.mark.parametrize("scale", [CifarSeverities(), ImageNetSeverities()])
def test_water_brightens_and_mud_covers(scale):
    indices = torch.arange(40)
    grey = torch.full((40, 3, 32, 32), 100, dtype=torch.uint8)
    for severity in (1, 2, 3):
        wet = Spatter(severity, scale).apply(grey, indices)
        assert wet.min() == 100
        changed = (wet != 100).any(1)
        assert 0 < changed.double().mean() < 0.6
    for severity in (4, 5):
        muddy = Spatter(severity, scale).apply(grey, indices)
        assert muddy[:, 0].min() >= 62
        assert muddy[:, 2].min() in (20, 21, 22, 19)
        assert muddy.max() == 100
        assert 0.001 < (muddy != 100).any(1).double().mean() < 0.6
