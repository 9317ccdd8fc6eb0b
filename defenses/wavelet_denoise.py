"""Remove noise where wavelets see it."""

from torch import Tensor

from defenses.colour import Colour, ColourName, colour_of
from defenses.defense import Defense
from defenses.noise_level import Units, UnitsName, estimated, units_of
from defenses.thresholds import Shrinkage, ShrinkageName, Threshold, ThresholdName, shrinkage_of, threshold_of
from defenses.wavelets import Filters, compose, decompose, filters_of
from options import check_at_least, check_whole


class WaveletDenoise(Defense):
    """Shrink the details of a wavelet transform towards zero, then clip to [0, 1] (backward pass: exact).

    Prakash 2019, section 4.7. The thesis's best is the default: BayesShrink, soft, in YCbCr, sigma 0.04. Its column
    "Hard" does not name a threshold: ``WaveletDenoise(threshold="visu", shrinkage="hard")``.

    Args:
        wavelet: any discrete one that PyWavelets knows, such as ``db1``, ``sym4`` or ``bior2.2``.
        threshold: ``bayes``, ``visu`` or ``sure``; or an object.
        shrinkage: ``soft`` or ``hard``; or an object.
        sigma: standard deviation of the noise in red, green and blue scaled to [0, 1], unless ``units`` says otherwise;
            None estimates it per image and channel.
        color: ``ycbcr`` or ``rgb``, what is denoised; or an object.
        units: where sigma is measured: ``rgb``, in red, green and blue, and carried from there into the channels of
            ``color``; ``channel``, in each of these; ``stretched``, as a share of each one's own range; or an object.
        levels: of the transform; None for three fewer than the image allows, and at least one.
    """

    def __init__(
        self,
        wavelet: str = "db1",
        threshold: Threshold | ThresholdName = "bayes",
        shrinkage: Shrinkage | ShrinkageName = "soft",
        sigma: float | None = 0.04,
        color: Colour | ColourName = "ycbcr",
        units: Units | UnitsName = "rgb",
        levels: int | None = None,
    ) -> None:
        super().__init__()
        check_at_least(self, 0, sigma=sigma)
        check_whole(self, levels=levels)
        check_at_least(self, 1, levels=levels)
        filters_of(wavelet)
        self.wavelet, self.sigma, self.levels = wavelet, sigma, levels
        self.threshold, self.shrinkage = threshold_of(threshold), shrinkage_of(shrinkage)
        self.color, self.units = colour_of(color), units_of(units)

    def restore(self, images: Tensor, run: int) -> Tensor:
        filters = filters_of(self.wavelet)
        channels = self.color.apart(images)
        size = (images.shape[2], images.shape[3])
        coarse, details = decompose(channels, filters, self._levels(filters, size))
        sigma = self._sigma(channels, details[0])
        details = [self._shrunk(bands, sigma, size[0] * size[1]) for bands in details]
        return self.color.together(compose(coarse, details, filters, size)).clamp(0, 1)

    def _levels(self, filters: Filters, size: tuple[int, int]) -> int:
        most = filters.most_levels(min(size))
        if most < (self.levels or 1):
            raise ValueError(
                f"WaveletDenoise: wavelet={self.wavelet!r} is too long for {self.levels or 1} levels on images of "
                f"{size[0]}x{size[1]}, which allow {most}: {remedy(filters, most)}"
            )
        return self.levels or max(1, most - 3)

    def _sigma(self, channels: Tensor, finest: Tensor) -> Tensor:
        """The standard deviation of the noise, (N or 1, C or 1, 1)."""
        if self.sigma is None:
            return estimated(finest[:, :, 2].flatten(2))
        return self.units.sigma(self.sigma, channels, self.color)

    def _shrunk(self, bands: Tensor, sigma: Tensor, pixels: int) -> Tensor:
        """Details (N, C, 3, h, w) of one level without their noise."""
        flat = bands.flatten(3)
        return self.shrinkage.shrink(flat, self.threshold.of(flat, sigma.unsqueeze(2), pixels)).view_as(bands)


def remedy(filters: Filters, most: int) -> str:
    """What to do where an image allows so few levels."""
    shorter = ["choose a shorter one, such as db1"] if len(filters) > 2 else []  # db1 and its twins have two taps
    return ", or ".join(shorter + (["take fewer levels"] if most else [])) or "take larger images"
