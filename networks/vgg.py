"""VGG-16 for small images."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from networks.layers import conv_relu, initialize_he_normal
from networks.network import Network
from networks.normalize import CIFAR10_MEAN, CIFAR10_STD
from networks.weights import load_weights

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # configuration D of the paper


class CifarVGG16(Network):
    """VGG-16 whose fully connected part is adapted to 32x32 images.

    Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv 1409.1556.
    The 13 convolutions with bias hold 14,714,688 parameters, 14,723,136 with BatchNorm. As in the paper, three linear
    layers follow, with dropout before the two hidden ones; they start from the 512 values that the fifth pooling leaves
    of a 32x32 image, and are ``hidden`` instead of 4,096 wide. ``features`` is the map before that pooling, since a map
    of one pixel shows nothing. The pooling is global, so that images of any size from 16x16 fit.

    Args:
        batch_norm: whether BatchNorm follows each convolution.
        hidden: width of the two hidden linear layers; 0 leaves a single linear layer.
        dropout: share of values dropped before each hidden layer, 0 to below 1.
        num_classes: number of classes, or width of the embedding.
        mean: of each channel in [0, 1].
        std: of each channel in [0, 1].
        weights: file to start from, see ``networks.load_weights``.
    """

    def __init__(
        self,
        batch_norm: bool = True,
        hidden: int = 512,
        dropout: float = 0.5,
        num_classes: int = 10,
        mean: Sequence[float] = CIFAR10_MEAN,
        std: Sequence[float] = CIFAR10_STD,
        weights: str | None = None,
    ) -> None:
        super().__init__(mean, std)
        if hidden < 0 or not 0 <= dropout < 1:
            raise ValueError(f"hidden={hidden} must be 0 or more and dropout={dropout} at least 0 and less than 1")
        self.convolutions = _convolutions(len(mean), batch_norm)
        self.classifier = _classifier(hidden, dropout, num_classes)
        initialize_he_normal(self)  # the usual choice instead of the paper's start from smaller trained networks
        if weights is not None:
            load_weights(self, weights)

    def convolve(self, images: Tensor) -> Tensor:
        features: Tensor = self.convolutions(images)  # (N, 512, H/16, W/16)
        return features

    def head(self, features: Tensor) -> Tensor:
        pooled = F.adaptive_max_pool2d(features, 1).flatten(1)  # (N, 512)
        scores: Tensor = self.classifier(pooled)
        return scores


def _convolutions(channels: int, batch_norm: bool) -> nn.Sequential:
    """The five stages, with 2x2 max-pooling between them."""
    layers: list[nn.Module] = []
    for stage in STAGES:
        if layers:
            layers.append(nn.MaxPool2d(2))
        for width in stage:
            layers += conv_relu(channels, width, bias=True, batch_norm=batch_norm)
            channels = width
    return nn.Sequential(*layers)


def _classifier(hidden: int, dropout: float, num_classes: int) -> nn.Sequential:
    if not hidden:
        return nn.Sequential(nn.Linear(512, num_classes))
    first = [nn.Dropout(dropout), nn.Linear(512, hidden), nn.ReLU()]
    second = [nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU()]
    return nn.Sequential(*first, *second, nn.Linear(hidden, num_classes))
