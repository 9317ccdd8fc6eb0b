"""Pictures of ice crystals on a window, computed."""

import math
from collections.abc import Callable

import numpy as np
from numpy.random import RandomState
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter

WIDTH, HEIGHT = 640, 480
CRYSTALS = 700
# Mean brightness, standard deviation and tint (red, green, blue) of each picture.
LOOKS = (
    (0.51, 0.07, (0.80, 1.05, 1.15)),
    (0.81, 0.09, (0.97, 1.00, 1.03)),
    (0.81, 0.08, (0.98, 1.00, 1.02)),
    (0.60, 0.11, (0.91, 1.01, 1.08)),
    (0.48, 0.17, (0.91, 1.00, 1.09)),
)


def ice_picture(number: int) -> np.ndarray:
    """One of five windows with feathered crystals, (480, 640, 3) uint8; always the same."""
    random = RandomState(number)  # its stream is the same in every version of numpy
    mean, deviation, tint = LOOKS[number]
    clouds = _standard(gaussian_filter(random.normal(size=(HEIGHT, WIDTH)), 40))
    grain = _standard(gaussian_filter(random.normal(size=(HEIGHT, WIDTH)), 1))
    grey = _standard(_standard(_crystals(random)) + 0.8 * clouds + 0.3 * grain) * deviation + mean
    picture: np.ndarray = (np.clip(grey[..., None] * np.array(tint), 0, 1) * 255).round().astype(np.uint8)
    return picture


def _crystals(random: RandomState) -> np.ndarray:
    canvas = Image.new("L", (WIDTH, HEIGHT), 90)
    pen = ImageDraw.Draw(canvas)
    # Large ones first, so that the small ones lie on top.
    for size in np.sort(random.lognormal(3.9, 0.5, CRYSTALS))[::-1]:
        _feather(pen, random, random.uniform(0, WIDTH), random.uniform(0, HEIGHT), float(size))
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.7)), dtype=np.float64)


def _feather(pen: ImageDraw.ImageDraw, random: RandomState, x: float, y: float, size: float) -> None:
    """A leaf of ice: a pale face, and a spine with barbs at 60 degrees on both sides that grow shorter to the tip."""
    angle, light = random.uniform(0, 2 * math.pi), random.uniform(60, 200)
    root, spine = np.array([x, y]), _towards(angle)
    sides = np.array([_towards(angle - math.pi / 3), _towards(angle + math.pi / 3)])
    tip = root + size * spine
    left, right = root + 0.22 * size * sides
    _draw(pen.polygon, [root, left, tip, right], light)
    along = np.arange(0, size, 3.0)[:, None, None]  # (barbs, sides, x and y)
    lengths = 0.4 * (size - along) * random.uniform(0.6, 1, (len(along), 2, 1))
    shades = light * random.uniform(0.4, 1.5, (len(along), 2))
    bases = np.broadcast_to(root + along * spine, (len(along), 2, 2))
    for base, end, shade in zip(bases.reshape(-1, 2), (bases + lengths * sides).reshape(-1, 2), shades.ravel()):
        _draw(pen.line, [base, end], shade)
    _draw(pen.line, [root, tip], light + 50, width=2)


def _towards(angle: float) -> np.ndarray:
    return np.array([math.cos(angle), math.sin(angle)])


def _draw(shape: Callable[..., None], points: list[np.ndarray], light: float, **options: int) -> None:
    shape(np.concatenate(points).tolist(), fill=int(light), **options)


def _standard(field: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1."""
    return np.asarray((field - field.mean()) / field.std())
