"""What defences are measured beside: other libraries, for one picture (H, W, 3) at a time, and a plain loop."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

Picture = np.ndarray
Peer = Callable[[Picture], Any]
MODULES = {"scikit-image": "skimage", "OpenCV": "cv2"}


def missing() -> list[str]:
    """Peers that are not installed."""
    return [name for name, module in MODULES.items() if find_spec(module) is None]


def versions() -> dict[str, str]:
    """Of those that are."""
    named = {"SciPy": "scipy", "Pillow": "PIL"} | MODULES
    return {name: str(import_module(module).__version__) for name, module in named.items() if find_spec(module)}


def use_one_core() -> None:
    """OpenCV would take all."""
    if find_spec("cv2"):
        import_module("cv2").setNumThreads(1)


def deflect_in_a_loop(count: int, window: int = 10) -> Peer:
    """Algorithm 2 of the thesis, written down: one draw after the other."""
    random = Random(0)

    def deflect(picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        deflected = picture.copy()
        for _ in range(count):
            row, column = random.randrange(height), random.randrange(width)
            source_row = random.randint(max(0, row - window), min(height - 1, row + window))
            source_column = random.randint(max(0, column - window), min(width - 1, column + window))
            deflected[row, column] = picture[source_row, source_column]
        return deflected

    return deflect


def wavelets() -> dict[str, Peer]:
    """BayesShrink with db1 in YCbCr."""
    if find_spec("skimage") is None:
        return {}
    denoise = import_module("skimage.restoration").denoise_wavelet
    return {
        "scikit-image": lambda picture: denoise(
            picture, sigma=0.04, wavelet="db1", method="BayesShrink", channel_axis=2, convert2ycbcr=True
        )
    }


def median(size: int) -> dict[str, Peer]:
    """Of each channel; OpenCV knows odd sizes only."""
    peers: dict[str, Peer] = {"SciPy": lambda picture: ndimage.median_filter(picture, (size, size, 1), mode="reflect")}
    if size % 2 and find_spec("cv2"):
        smooth = import_module("cv2").medianBlur
        peers["OpenCV"] = lambda picture: smooth(picture, size)
    return peers


def non_local_means(search: int, patch: int, strength: float) -> dict[str, Peer]:
    """With weights over all channels; OpenCV takes bytes."""
    peers: dict[str, Peer] = {}
    if find_spec("skimage"):
        denoise = import_module("skimage.restoration").denoise_nl_means
        options = {"patch_size": patch, "patch_distance": search // 2, "h": strength / 255, "channel_axis": 2}
        peers["scikit-image"] = lambda picture: denoise(picture, fast_mode=True, **options)
    if find_spec("cv2"):
        fast = import_module("cv2").fastNlMeansDenoising
        peers["OpenCV"] = lambda picture: fast(to_bytes(picture), None, strength, patch, search)
    return peers


def bilateral(distance: float, colour: float, reach: int) -> dict[str, Peer]:
    """With Euclidean (scikit-image) or summed (OpenCV) differences of colours."""
    peers: dict[str, Peer] = {}
    if find_spec("skimage"):
        denoise = import_module("skimage.restoration").denoise_bilateral
        options = {"win_size": 2 * reach + 1, "sigma_color": colour, "sigma_spatial": distance, "channel_axis": 2}
        peers["scikit-image"] = lambda picture: denoise(picture, **options)
    if find_spec("cv2"):
        fast = import_module("cv2").bilateralFilter
        peers["OpenCV"] = lambda picture: fast(picture, 2 * reach + 1, colour, distance)
    return peers


def total_variation(weight: float, steps: int) -> dict[str, Peer]:
    """By projection, with as many steps."""
    if find_spec("skimage") is None:
        return {}
    denoise = import_module("skimage.restoration").denoise_tv_chambolle
    return {
        "scikit-image": lambda picture: denoise(picture, weight=weight, eps=0.0, max_num_iter=steps, channel_axis=2)
    }


def jpeg(quality: int) -> dict[str, Peer]:
    """To a file in memory and back."""

    def through_file(picture: Picture) -> Picture:
        file = BytesIO()
        Image.fromarray(to_bytes(picture)).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file)).astype(np.float32) / 255

    return {"Pillow": through_file}


def to_bytes(picture: Picture) -> Picture:
    """Pixels in [0, 1] as bytes."""
    return (picture * 255).round().astype(np.uint8)
