"""Compress images and decompress them again."""

from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from defenses.blocks import from_blocks, harmonics, to_blocks
from defenses.checks import check_grey_or_rgb
from defenses.colour import YCbCr
from defenses.defense import Defense, Gradient
from defenses.parts import by_parts
from options import check_between, check_whole

# ITU-T T.81, tables K.1 and K.2: steps of the quantisation at quality 50.
LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)


class Jpeg(Defense):
    """Write images as JPEG and read them again, by Pillow on the processor (backward pass: that of DifferentiableJpeg).

    Dziugaite et al. 2016, arXiv 1608.00853. The bytes depend on the version of libjpeg that Pillow was built with.

    Args:
        quality: 1 (small files) to 100.
        subsample: keep the chroma channels at half the size (4:2:0), as is usual.
    """

    gradient: Gradient = "surrogate"

    def __init__(self, quality: int = 75, subsample: bool = True) -> None:
        super().__init__()
        check_whole(self, quality=quality)
        check_between(self, 1, 100, quality=quality)
        self.quality, self.subsample = quality, subsample

    def restore(self, images: Tensor, run: int) -> Tensor:
        check_grey_or_rgb(self, images)
        return by_parts(self._through_files, images)

    def stand_in(self, images: Tensor, run: int) -> Tensor:
        return DifferentiableJpeg(self.quality, self.subsample).restore(images, run)

    def _through_files(self, images: Tensor) -> Tensor:
        levels = (images * 255).round().clamp(0, 255).byte()
        pictures = levels.permute(0, 2, 3, 1).squeeze(3).contiguous().cpu()
        read = torch.empty_like(pictures)
        for picture, result in zip(pictures.numpy(), read.numpy()):
            result[...] = self._through_file(picture)
        read = read.view(len(images), *images.shape[2:], images.shape[1]).permute(0, 3, 1, 2)
        return read.to(images.device, images.dtype) / 255

    def _through_file(self, picture: np.ndarray) -> np.ndarray:
        file = BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=self.quality, subsampling="4:2:0" if self.subsample else 0)
        with Image.open(file) as compressed:
            return np.asarray(compressed)


class DifferentiableJpeg(Defense):
    """What JPEG does, with tensors and a rounding that can be differentiated (backward pass: exact).

    Shin & Song 2017, "JPEG-resistant Adversarial Images": a coefficient is rounded to the nearest step plus the cube of
    what is left. For attacks that know the defence, and for batches on a GPU.

    Args:
        quality: 1 to 100; the tables are scaled as libjpeg does.
        subsample: keep the chroma channels at half the size (4:2:0), as is usual.
        soft: round as above; False rounds hard, as the codec does, and has no useful gradient.
    """

    def __init__(self, quality: int = 75, subsample: bool = True, soft: bool = True) -> None:
        super().__init__()
        check_whole(self, quality=quality)
        check_between(self, 1, 100, quality=quality)
        self.quality, self.subsample, self.soft = quality, subsample, soft

    def restore(self, images: Tensor, run: int) -> Tensor:
        check_grey_or_rgb(self, images)
        colour, size = YCbCr(), (images.shape[2], images.shape[3])
        channels = self._whole(colour.apart(images) * 255)
        luma = self._quantised(channels[:, :1] - 128, LUMA_STEPS) + 128
        if images.shape[1] == 1:
            return (luma / 255).clamp(0, 1)
        chroma = self._chroma(channels[:, 1:]) if self.subsample else self._quantised(channels[:, 1:], CHROMA_STEPS)
        return colour.together(torch.cat([luma, chroma[..., : size[0], : size[1]]], 1) / 255).clamp(0, 1)

    def _whole(self, levels: Tensor) -> Tensor:
        """Whole grey levels, as the codec computes with; their rounding is too small to matter to a soft one."""
        return levels if self.soft else levels.round()

    def _chroma(self, channels: Tensor) -> Tensor:
        """At half the size: averaged over 2 x 2, and enlarged by the weights 3/4 and 1/4."""
        height, width = channels.shape[2:]
        even = F.pad(channels, (0, width % 2, 0, height % 2), mode="replicate")
        small = self._quantised(self._whole(F.avg_pool2d(even, 2)), CHROMA_STEPS)
        return F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)

    def _quantised(self, channels: Tensor, table: tuple[tuple[int, ...], ...]) -> Tensor:
        """Channels (N, C, H, W) of grey levels, whose cosine coefficients are multiples of steps, or nearly."""
        scale = 5000 // self.quality if self.quality < 50 else 200 - 2 * self.quality
        steps = ((channels.new_tensor(table) * scale + 50) / 100).floor().clamp(1, 255)
        basis = harmonics(8, channels)
        counts = basis @ to_blocks(channels, 8) @ basis.T / steps
        nearest = counts.detach().round()
        rest = counts - nearest if self.soft else torch.zeros_like(counts)
        return from_blocks(basis.T @ ((nearest + rest**3) * steps) @ basis, (channels.shape[2], channels.shape[3]))
