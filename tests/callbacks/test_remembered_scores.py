"""Known images are looked up, others are computed."""

import pytest
import torch
from torch import nn

from callbacks.remembered_scores import RememberedScores, fingerprints


class Counting(nn.Module):
    """Scores are the first pixels; counts the images."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, images):
        self.seen += len(images)
        return images.flatten(1)[:, :3] * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_known_images_are_looked_up_in_any_order(dtype):
    torch.manual_seed(0)
    images, network = torch.rand(40, 3, 5, 5).to(dtype), Counting()
    remembered = RememberedScores(network, images.split(7))
    assert network.seen == 40
    order = torch.randperm(40)
    assert torch.equal(remembered(images[order]), 2 * images[order].flatten(1)[:, :3])
    assert network.seen == 40
    assert remembered.knows(images).all()


def test_others_are_computed_among_them():
    torch.manual_seed(0)
    images, network = torch.rand(10, 1, 4, 4), Counting()
    remembered = RememberedScores(network, [images])
    mixed = torch.cat([images[:3], torch.rand(4, 1, 4, 4), images[5:]])
    changed = images[8].clone()
    changed[0, 3, 3] = torch.nextafter(changed[0, 3, 3], torch.tensor(2.0))
    mixed[-2] = changed
    assert torch.equal(remembered(mixed), 2 * mixed.flatten(1)[:, :3])
    assert network.seen == 15
    assert remembered.knows(mixed).tolist() == [True] * 3 + [False] * 4 + [True] * 3 + [False, True]


def test_memory_order_does_not_matter_and_equal_images_do_not_disturb():
    torch.manual_seed(0)
    images, network = torch.rand(6, 3, 4, 4), Counting()
    images[4] = images[1]
    remembered = RememberedScores(network, [images])
    assert torch.equal(remembered(images.to(memory_format=torch.channels_last)), 2 * images.flatten(1)[:, :3])
    assert network.seen == 6


def test_fingerprints_depend_on_every_bit_and_its_place():
    image = torch.rand(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    flips = torch.stack([torch.tensor(1 << bit if bit < 31 else -(2**31), dtype=torch.int32) for bit in range(32)])
    bits = image.flatten().view(torch.int32)
    others = [image]
    for place in range(18):
        for flip in flips:
            other = bits.clone()
            other[place] ^= flip
            others.append(other.view(torch.float32).view_as(image))
    others.append(image.flip(3))
    numbers = fingerprints(torch.cat(others))
    assert len(numbers.unique()) == len(others) == 18 * 32 + 2
