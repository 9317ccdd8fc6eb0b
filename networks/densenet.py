"""Densely connected networks for small images."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.layers import average, conv1x1, conv3x3, initialize_he_normal
from networks.network import Network
from networks.normalize import CIFAR10_MEAN, CIFAR10_STD
from networks.weights import load_weights


class CifarDenseNet(Network):
    """DenseNet of three dense blocks without bottlenecks or compression, such as DenseNet-40 with growth 12.

    Huang et al. 2017, "Densely Connected Convolutional Networks", section 3, arXiv 1608.06993. The first convolution
    has 16 filters and no convolution has a bias: without the linear layer, depths 40 and 100 hold 1,015,232 and
    6,967,952 parameters. Images of any size from 4x4 fit.

    Args:
        depth: 3n + 4 for n layers per block; the layers of other depths, from 5 on, fill the first blocks first.
        growth: channels that each layer adds (k).
        num_classes: number of classes, or width of the embedding.
        mean: of each channel in [0, 1].
        std: of each channel in [0, 1].
        weights: file to start from, see ``networks.load_weights``.
    """

    def __init__(
        self,
        depth: int = 40,
        growth: int = 12,
        num_classes: int = 10,
        mean: Sequence[float] = CIFAR10_MEAN,
        std: Sequence[float] = CIFAR10_STD,
        weights: str | None = None,
    ) -> None:
        super().__init__(mean, std)
        _check_options(depth, growth)
        layers = [(depth - 4 + rest) // 3 for rest in (2, 1, 0)]
        first, second, third = (16 + sum(layers[:blocks]) * growth for blocks in (1, 2, 3))  # channels after each block
        self.conv1 = conv3x3(len(mean), 16)
        self.block1 = _dense_block(layers[0], 16, growth)
        self.transition1 = Transition(first)
        self.block2 = _dense_block(layers[1], first, growth)
        self.transition2 = Transition(second)
        self.block3 = _dense_block(layers[2], second, growth)
        self.bn = nn.BatchNorm2d(third)
        self.linear = nn.Linear(third, num_classes)
        initialize_he_normal(self)  # as in the authors' code, with a zero bias in the linear layer
        nn.init.zeros_(self.linear.bias)
        if weights is not None:
            load_weights(self, weights)

    def convolve(self, images: Tensor) -> Tensor:
        features = self.block1(self.conv1(images))  # (N, 16 + n growth, H, W)
        features = self.block2(self.transition1(features))  # (N, 16 + 2n growth, H/2, W/2)
        features = self.block3(self.transition2(features))  # (N, 16 + 3n growth, H/4, W/4)
        return F.relu(self.bn(features))

    def head(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(average(features))
        return scores


class DenseLayer(nn.Module):
    """BatchNorm, ReLU and a convolution whose maps are appended to its input."""

    def __init__(self, channels_in: int, growth: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels_in)
        self.conv = conv3x3(channels_in, growth)

    def forward(self, x: Tensor) -> Tensor:  # from (N, K, h, w) to (N, K + growth, h, w)
        return torch.cat([x, self.conv(F.relu(self.bn(x)))], dim=1)


class Transition(nn.Module):
    """BatchNorm, ReLU, a 1x1 convolution that keeps the number of channels, and 2x2 average pooling."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.conv = conv1x1(channels, channels)

    def forward(self, x: Tensor) -> Tensor:  # from (N, K, h, w) to (N, K, h/2, w/2)
        return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)


def _dense_block(layers: int, channels_in: int, growth: int) -> nn.Sequential:
    return nn.Sequential(*(DenseLayer(channels_in + index * growth, growth) for index in range(layers)))


def _check_options(depth: int, growth: int) -> None:
    if depth < 5:
        raise ValueError(f"depth={depth} leaves no dense layer: set it to 5 or more, such as 40 or 100")
    if growth < 1:
        raise ValueError(f"growth={growth} must be at least 1")
