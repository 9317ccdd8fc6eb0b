"""Real photographs in two sizes, as pixels in [0, 1]."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images


@pytest.fixture(autouse=True)
def seed():
    """Draws follow from it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def photographs():
    """(8, 3, 32, 32) float32; the first one has regions that are entirely black, white and grey."""
    random = np.random.RandomState(0)
    large = load_sample_images().images
    small = []
    for number in range(8):
        top, left = random.randint(0, 427 - 128), random.randint(0, 640 - 128)
        cut = large[number % 2][top : top + 128, left : left + 128]
        small.append(np.array(Image.fromarray(cut).resize((32, 32), Image.Resampling.BOX)))
    small[0][:16], small[0][:, :12], small[0][24:] = 255, 0, 200
    return as_pixels(np.stack(small))


@pytest.fixture(scope="session")
def large_photographs():
    """(2, 3, 96, 96) float32, cut from the middle."""
    return as_pixels(np.stack([picture[160:256, 240:336] for picture in load_sample_images().images]))


def as_pixels(pictures):
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255).contiguous()
