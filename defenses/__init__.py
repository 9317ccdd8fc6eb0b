"""We change the input back."""

from defenses.activation_maps import ActivationMap, AuthorsActivationMap, ClassActivationMap, RobustActivationMap
from defenses.bit_depth import BitDepth
from defenses.defended import Defended, looking
from defenses.defense import Defense, Gradient, Identity, straight_through
from defenses.deflection_modes import Authors, Paper
from defenses.pixel_deflection import PixelDeflection
from defenses.replacement import RandomPixel, WindowMaximum, WindowMean, WindowMinimum
from defenses.sampling import GaussianSampling, UniformSampling
from defenses.sequence import Sequence
from defenses.vote import Vote, vote
from defenses.wavelet_denoise import WaveletDenoise

__all__ = [
    "ActivationMap",
    "Authors",
    "AuthorsActivationMap",
    "BitDepth",
    "ClassActivationMap",
    "Defended",
    "Defense",
    "GaussianSampling",
    "Gradient",
    "Identity",
    "Paper",
    "PixelDeflection",
    "RandomPixel",
    "RobustActivationMap",
    "Sequence",
    "UniformSampling",
    "Vote",
    "WaveletDenoise",
    "WindowMaximum",
    "WindowMean",
    "WindowMinimum",
    "looking",
    "straight_through",
    "vote",
]
