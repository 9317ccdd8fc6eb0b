"""We change the input back.

A defence goes from images in [0, 1] to images in [0, 1], and knows neither the network nor the attack::

    defense = Sequence([PixelDeflection(100, 10, RobustActivationMap()), WaveletDenoise()])
    defense.attach(network)  # the map looks through it
    scores = network(defense(images))
    scores = Vote(defense, 10)(network, images)  # an ensemble of ten
"""

from defenses.activation_maps import ActivationMap, AuthorsActivationMap, ClassActivationMap, RobustActivationMap
from defenses.anisotropic_diffusion import AnisotropicDiffusion
from defenses.bilateral import Bilateral
from defenses.bit_depth import BitDepth
from defenses.colour import Rgb, YCbCr
from defenses.crop import Crop
from defenses.dct_denoise import DctDenoise
from defenses.deconvolution import Deconvolution
from defenses.defended import Defended, looking
from defenses.defense import Defense, Gradient, Identity
from defenses.deflection_modes import Authors, Paper
from defenses.jpeg import DifferentiableJpeg, Jpeg
from defenses.median_smoothing import MedianSmoothing
from defenses.noise_level import ChannelUnits, RgbUnits, StretchedUnits
from defenses.non_local_means import NonLocalMeans
from defenses.opencv import OpenCVNonLocalMeans
from defenses.patch_bank import patch_bank
from defenses.pixel_deflection import PixelDeflection
from defenses.quilting import Quilting
from defenses.random_resize_pad import RandomResizePad
from defenses.replacement import RandomPixel, WindowMaximum, WindowMean, WindowMinimum
from defenses.sampling import GaussianSampling, UniformSampling
from defenses.sequence import Sequence
from defenses.thresholds import Bayes, Hard, Soft, Sure, Visu
from defenses.total_variation import TotalVariation
from defenses.vote import Vote, vote
from defenses.wavelet_denoise import WaveletDenoise

__all__ = [
    "ActivationMap",
    "AnisotropicDiffusion",
    "Authors",
    "AuthorsActivationMap",
    "Bayes",
    "Bilateral",
    "BitDepth",
    "ChannelUnits",
    "ClassActivationMap",
    "Crop",
    "DctDenoise",
    "Deconvolution",
    "Defended",
    "Defense",
    "DifferentiableJpeg",
    "GaussianSampling",
    "Gradient",
    "Hard",
    "Identity",
    "Jpeg",
    "MedianSmoothing",
    "NonLocalMeans",
    "OpenCVNonLocalMeans",
    "Paper",
    "PixelDeflection",
    "Quilting",
    "RandomPixel",
    "RandomResizePad",
    "Rgb",
    "RgbUnits",
    "RobustActivationMap",
    "Sequence",
    "Soft",
    "StretchedUnits",
    "Sure",
    "TotalVariation",
    "UniformSampling",
    "Visu",
    "Vote",
    "WaveletDenoise",
    "WindowMaximum",
    "WindowMean",
    "WindowMinimum",
    "YCbCr",
    "looking",
    "patch_bank",
    "vote",
]
