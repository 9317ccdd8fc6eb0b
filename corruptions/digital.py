"""What cameras and files do: contrast, distortion, resolution, compression, colour."""

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from corruptions.borders import doubled, mirrored
from corruptions.colour import hsv_to_rgb, rgb_to_hsv
from corruptions.division import divided
from corruptions.draws import Draws
from corruptions.resampling import affine_from, bilinear, box_resized, mapped
from corruptions.severities import Elastic, Saturation
from corruptions.synthetic import SyntheticCorruption


class Contrast(SyntheticCorruption[float]):
    """Draw each channel towards its mean; the level is the share of the contrast that remains."""

    name = "contrast"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        pixels = divided(levels.double(), 255)
        # From whole numbers, whose sum does not depend on how an image lies in memory.
        mean = divided(levels.sum((2, 3), keepdim=True).double(), 255 * levels[0, 0].numel())
        return ((pixels - mean) * self.level + mean) * 255


class Saturate(SyntheticCorruption[Saturation]):
    """Scale and shift the saturation of HSV (an extra); grey images stay as they are."""

    name = "saturate"
    colour = True

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        hue, saturation, value = rgb_to_hsv(divided(levels.double(), 255))
        return hsv_to_rgb(hue, (saturation * self.level.scale + self.level.shift).clamp(0, 1), value) * 255


class Pixelate(SyntheticCorruption[float]):
    """Shrink the image by averaging and enlarge it again; the level is the scale."""

    name = "pixelate"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        height, width = levels.shape[2:]
        small = box_resized(levels, max(1, int(height * self.level)), max(1, int(width * self.level)))
        return box_resized(small, height, width)


class JPEGCompression(SyntheticCorruption[int]):
    """Compress as JPEG (by Pillow, on the processor); the level is the quality.

    The bytes depend on the version of libjpeg that Pillow was built with.
    """

    name = "jpeg_compression"
    colour = True

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        pictures = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        compressed = np.stack([through_jpeg(picture, self.level) for picture in pictures])
        return torch.from_numpy(compressed).permute(0, 3, 1, 2).to(levels.device)


class ElasticTransform(SyntheticCorruption[Elastic]):
    """Move three points and the image affinely with them, then displace every pixel by a smooth random field."""

    name = "elastic_transform"

    def corrupt(self, levels: Tensor, draws: Draws) -> Tensor:
        height, width = levels.shape[2:]
        affine = affine_from(height, width, draws.between(-self.level.affine, self.level.affine, 3, 2, stream=0))
        pixels = bilinear(divided(levels.float(), 255), *mapped(affine, height, width), mirrored)
        across, down = self._fields(draws.between(-1, 1, 2, height, width, stream=1)).unbind(1)
        rows = torch.arange(height, device=levels.device).unsqueeze(1) + down
        columns = torch.arange(width, device=levels.device) + across
        return bilinear(pixels, rows, columns, doubled) * 255

    def _fields(self, noise: Tensor) -> Tensor:
        """Displacements in pixels, from white noise of the same shape (N, 2, H, W)."""
        if not self.level.alpha:
            return torch.zeros_like(noise)
        down, across = (_smoothing(size, self.level.sigma).to(noise.device) for size in noise.shape[2:])
        return ((down @ noise @ across.T) * self.level.alpha).float().double()


def through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """A picture (H, W, 3) uint8, written as JPEG and read again."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    with Image.open(file) as compressed:
        return np.asarray(compressed)


def _smoothing(size: int, sigma: float) -> Tensor:
    """The Gaussian blur of an axis as a matrix (size, size)."""
    return torch.from_numpy(gaussian_filter1d(np.eye(size), sigma, axis=0, mode="reflect", truncate=3))
