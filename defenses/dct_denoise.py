"""Remove noise where cosines see it."""

from torch import Tensor

from defenses.blocks import from_blocks, harmonics, to_blocks
from defenses.colour import Colour, ColourName, colour_of
from defenses.defense import Defense
from defenses.noise_level import Units, UnitsName, units_of
from defenses.thresholds import Shrinkage, ShrinkageName, Threshold, ThresholdName, shrinkage_of, threshold_of
from options import check_at_least, check_whole


class DctDenoise(Defense):
    """Shrink the cosine coefficients of blocks towards zero, by a threshold for each frequency (backward pass: exact).

    The thesis has a row "DCT" and does not describe it; this is its wavelet denoising with a transform of blocks. The
    mean of a block is kept.

    Args:
        sigma: standard deviation of the noise in red, green and blue scaled to [0, 1], unless ``units`` says otherwise.
        block: side of a block in pixels.
        threshold: ``bayes``, ``visu`` or ``sure``; or an object.
        shrinkage: ``soft`` or ``hard``; or an object.
        color: ``ycbcr`` or ``rgb``, what is denoised; or an object.
        units: where sigma is measured: ``rgb``, ``channel`` or ``stretched``, as for ``WaveletDenoise``; or an object.
    """

    def __init__(
        self,
        sigma: float = 0.04,
        block: int = 8,
        threshold: Threshold | ThresholdName = "bayes",
        shrinkage: Shrinkage | ShrinkageName = "soft",
        color: Colour | ColourName = "ycbcr",
        units: Units | UnitsName = "rgb",
    ) -> None:
        super().__init__()
        check_at_least(self, 0, sigma=sigma)
        check_whole(self, block=block)
        check_at_least(self, 2, block=block)
        self.sigma, self.block = sigma, block
        self.threshold, self.shrinkage = threshold_of(threshold), shrinkage_of(shrinkage)
        self.color, self.units = colour_of(color), units_of(units)

    def restore(self, images: Tensor, run: int) -> Tensor:
        size, side = (images.shape[2], images.shape[3]), self.block
        channels = self.color.apart(images)
        basis = harmonics(side, images)
        blocks = basis @ to_blocks(channels, side) @ basis.T  # (N, C, rows, columns, side, side)
        bands = blocks.flatten(4).flatten(2, 3).mT  # (N, C, side * side, rows * columns)
        sigma = self.units.sigma(self.sigma, channels, self.color).unsqueeze(3)
        threshold = self.threshold.of(bands, sigma, size[0] * size[1]).expand(*bands.shape[:3], 1).clone()
        threshold[:, :, 0] = 0  # the mean of a block
        shrunk = self.shrinkage.shrink(bands, threshold).mT.reshape(blocks.shape)
        return self.color.together(from_blocks(basis.T @ shrunk @ basis, size)).clamp(0, 1)
