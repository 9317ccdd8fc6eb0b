"""Real photographs, small, with flat regions among them."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

COUNT = 24


@pytest.fixture(scope="session")
def photographs():
    """(24, 3, 32, 32) uint8; the first one has regions that are entirely black, white and grey."""
    random = np.random.RandomState(0)
    large = load_sample_images().images
    small = []
    for number in range(COUNT):
        top, left = random.randint(0, 427 - 128), random.randint(0, 640 - 128)
        cut = large[number % 2][top : top + 128, left : left + 128]
        small.append(np.array(Image.fromarray(cut).resize((32, 32), Image.Resampling.BOX)))
    small[0][:16], small[0][:, :12], small[0][24:] = 255, 0, 200
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).contiguous()
