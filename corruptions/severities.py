"""How strong each corruption is at severities 1 to 5: one table per benchmark."""

from typing import NamedTuple


class Disk(NamedTuple):
    """A defocused point: a disk of this radius, smoothed by a Gaussian (both in pixels)."""

    radius: float
    alias: float


class Glass(NamedTuple):
    """Frosted glass: a Gaussian blur and passes of local moves (sigma and reach in pixels)."""

    sigma: float
    reach: int
    passes: int


class Motion(NamedTuple):
    """A movement: half a Gaussian of ``2 radius + 1`` steps (pixels)."""

    radius: int
    sigma: float


class Zooms(NamedTuple):
    """The zoom factors 1, 1 + step, 1 + 2 step, ...; so many of them, 1 included."""

    step: float
    number: int

    def factors(self) -> list[float]:
        """As numpy's ranges have them: 1.2500000000000002 enlarges 26 pixels to 33, but 1.25 to 32."""
        step = (1 + self.step) - 1
        return [1 + each * step for each in range(self.number)]


class SnowFall(NamedTuple):
    """Flakes: normal noise, magnified, cut off below a threshold, blown by a motion; the image keeps this weight."""

    mean: float
    deviation: float
    zoom: float
    threshold: float
    radius: int
    sigma: float
    weight: float


class Ice(NamedTuple):
    """Weights of the image and of the frost picture, of which every stride-th pixel is taken."""

    image: float
    frost: float
    stride: int


class Mist(NamedTuple):
    """The fog's weight, and by how much its roughness shrinks from one scale to the next finer one."""

    weight: float
    decay: float


class Elastic(NamedTuple):
    """Displacements of size alpha, smoothed by sigma, after an affine map that moves three points (pixels)."""

    alpha: float
    sigma: float
    affine: float


class Drops(NamedTuple):
    """Liquid: normal noise, blurred, cut off below a threshold; drawn at this strength (water), or this blur (mud)."""

    mean: float
    deviation: float
    sigma: float
    threshold: float
    strength: float
    mud: bool


class Saturation(NamedTuple):
    """What the HSV saturation is multiplied by, and what is added."""

    scale: float
    shift: float


class Severities:
    """The parameters of all corruptions, five each; lengths are in pixels of the published size."""

    gaussian_noise: tuple[float, ...]
    shot_noise: tuple[int, ...]
    impulse_noise: tuple[float, ...]
    defocus_blur: tuple[Disk, ...]
    glass_blur: tuple[Glass, ...]
    motion_blur: tuple[Motion, ...]
    zoom_blur: tuple[Zooms, ...]
    snow: tuple[SnowFall, ...]
    frost: tuple[Ice, ...]
    fog: tuple[Mist, ...]
    brightness: tuple[float, ...]
    contrast: tuple[float, ...]
    elastic_transform: tuple[Elastic, ...]
    pixelate: tuple[float, ...]
    jpeg_compression: tuple[int, ...]
    speckle_noise: tuple[float, ...]
    gaussian_blur: tuple[float, ...]
    spatter: tuple[Drops, ...]
    saturate: tuple[Saturation, ...]


class CifarSeverities(Severities):
    """CIFAR-10-C and CIFAR-100-C, for images of about 32x32 (Hendrycks & Dietterich 2019, arXiv:1903.12261).

    Most values are far milder than ImageNet-C's. All were checked against a listing of the benchmark's script, except
    for those of spatter and frost's stride.
    """

    gaussian_noise = (0.04, 0.06, 0.08, 0.09, 0.10)
    shot_noise = (500, 250, 100, 75, 50)
    impulse_noise = (0.01, 0.02, 0.03, 0.05, 0.07)
    defocus_blur = (Disk(0.3, 0.4), Disk(0.4, 0.5), Disk(0.5, 0.6), Disk(1, 0.2), Disk(1.5, 0.1))
    glass_blur = (Glass(0.05, 1, 1), Glass(0.25, 1, 1), Glass(0.4, 1, 1), Glass(0.25, 1, 2), Glass(0.4, 1, 2))
    motion_blur = (Motion(6, 1), Motion(6, 1.5), Motion(6, 2), Motion(8, 2), Motion(9, 2.5))
    # The published ranges end at 1.06, 1.11, 1.16, 1.21 and 1.26; rounding includes the end in the first two only.
    zoom_blur = (Zooms(0.01, 7), Zooms(0.01, 12), Zooms(0.01, 16), Zooms(0.01, 21), Zooms(0.01, 26))
    snow = (
        SnowFall(0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        SnowFall(0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        SnowFall(0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        SnowFall(0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        SnowFall(0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    )
    frost = (Ice(1, 0.2, 5), Ice(1, 0.3, 5), Ice(0.9, 0.4, 5), Ice(0.85, 0.4, 5), Ice(0.75, 0.45, 5))
    fog = (Mist(0.2, 3), Mist(0.5, 3), Mist(0.75, 2.5), Mist(1, 2), Mist(1.5, 1.75))
    brightness = (0.05, 0.1, 0.15, 0.2, 0.3)
    contrast = (0.75, 0.5, 0.4, 0.3, 0.15)
    elastic_transform = (
        Elastic(0, 0, 32 * 0.08),
        Elastic(32 * 0.05, 32 * 0.2, 32 * 0.07),
        Elastic(32 * 0.08, 32 * 0.06, 32 * 0.06),
        Elastic(32 * 0.1, 32 * 0.04, 32 * 0.05),
        Elastic(32 * 0.1, 32 * 0.03, 32 * 0.03),
    )
    pixelate = (0.95, 0.9, 0.85, 0.75, 0.65)
    jpeg_compression = (80, 65, 58, 50, 40)
    speckle_noise = (0.06, 0.1, 0.12, 0.16, 0.2)
    gaussian_blur = (0.4, 0.6, 0.7, 0.8, 1)
    spatter = (
        Drops(0.62, 0.1, 0.7, 0.7, 0.5, False),
        Drops(0.65, 0.1, 0.8, 0.7, 0.5, False),
        Drops(0.65, 0.3, 1, 0.69, 0.5, False),
        Drops(0.65, 0.1, 0.7, 0.69, 0.6, True),
        Drops(0.65, 0.1, 0.5, 0.68, 0.6, True),
    )
    saturate = (Saturation(0.3, 0), Saturation(0.1, 0), Saturation(1.5, 0), Saturation(2, 0.1), Saturation(2.5, 0.2))


class ImageNetSeverities(Severities):
    """ImageNet-C, for images of about 224x224 (Hendrycks & Dietterich 2019, arXiv:1903.12261).

    On 32x32 images these are the wrong benchmark. All were checked against a second implementation, the package
    imagecorruptions 1.1.2, except for elastic_transform and frost's stride, where it departs from the benchmark.
    """

    gaussian_noise = (0.08, 0.12, 0.18, 0.26, 0.38)
    shot_noise = (60, 25, 12, 5, 3)
    impulse_noise = (0.03, 0.06, 0.09, 0.17, 0.27)
    defocus_blur = (Disk(3, 0.1), Disk(4, 0.5), Disk(6, 0.5), Disk(8, 0.5), Disk(10, 0.5))
    glass_blur = (Glass(0.7, 1, 2), Glass(0.9, 2, 1), Glass(1, 2, 3), Glass(1.1, 3, 2), Glass(1.5, 4, 2))
    motion_blur = (Motion(10, 3), Motion(15, 5), Motion(15, 8), Motion(15, 12), Motion(20, 15))
    # The published ranges end at 1.11, 1.16, 1.21, 1.26 and 1.31; rounding includes the end in the first only.
    zoom_blur = (Zooms(0.01, 12), Zooms(0.01, 16), Zooms(0.02, 11), Zooms(0.02, 13), Zooms(0.03, 11))
    snow = (
        SnowFall(0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        SnowFall(0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        SnowFall(0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        SnowFall(0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        SnowFall(0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )
    frost = (Ice(1, 0.4, 1), Ice(0.8, 0.6, 1), Ice(0.7, 0.7, 1), Ice(0.65, 0.7, 1), Ice(0.6, 0.75, 1))
    fog = (Mist(1.5, 2), Mist(2, 2), Mist(2.5, 1.7), Mist(2.5, 1.5), Mist(3, 1.4))
    brightness = (0.1, 0.2, 0.3, 0.4, 0.5)
    contrast = (0.4, 0.3, 0.2, 0.1, 0.05)
    elastic_transform = (  # for images of 224: the 244 is the benchmark's own
        Elastic(244 * 2, 244 * 0.7, 244 * 0.1),
        Elastic(244 * 2, 244 * 0.08, 244 * 0.2),
        Elastic(244 * 0.05, 244 * 0.01, 244 * 0.02),
        Elastic(244 * 0.07, 244 * 0.01, 244 * 0.02),
        Elastic(244 * 0.12, 244 * 0.01, 244 * 0.02),
    )
    pixelate = (0.6, 0.5, 0.4, 0.3, 0.25)
    jpeg_compression = (25, 18, 15, 10, 7)
    speckle_noise = (0.15, 0.2, 0.35, 0.45, 0.6)
    gaussian_blur = (1, 2, 3, 4, 6)
    spatter = (
        Drops(0.65, 0.3, 4, 0.69, 0.6, False),
        Drops(0.65, 0.3, 3, 0.68, 0.6, False),
        Drops(0.65, 0.3, 2, 0.68, 0.5, False),
        Drops(0.65, 0.3, 1, 0.65, 1.5, True),
        Drops(0.67, 0.4, 1, 0.65, 1.5, True),
    )
    saturate = (Saturation(0.3, 0), Saturation(0.1, 0), Saturation(2, 0), Saturation(5, 0.1), Saturation(20, 0.2))
