"""Wide residual networks for small images."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from networks.layers import average, conv1x1, conv3x3, initialize_he_normal
from networks.network import Network
from networks.normalize import CIFAR10_MEAN, CIFAR10_STD
from networks.weights import load_weights


class WideResNet(Network):
    """Wide residual network WRN-depth-widen_factor, such as WRN-28-10; any image size fits.

    Zagoruyko and Komodakis 2016, "Wide Residual Networks", arXiv 1605.07146: three stages of pre-activation blocks with
    16k, 32k and 64k filters. WRN-28-10 for 10 classes has 36,479,194 parameters.

    Args:
        depth: 6n + 4 for n blocks per stage.
        widen_factor: k, how many times wider than the thin network.
        dropout: share of values dropped between the two convolutions of a block, 0 to below 1; the paper's is 0.3.
        num_classes: number of classes, or width of the embedding.
        mean: of each channel in [0, 1].
        std: of each channel in [0, 1].
        weights: file to start from, see ``networks.load_weights``.
    """

    def __init__(
        self,
        depth: int = 28,
        widen_factor: int = 10,
        dropout: float = 0.0,
        num_classes: int = 10,
        mean: Sequence[float] = CIFAR10_MEAN,
        std: Sequence[float] = CIFAR10_STD,
        weights: str | None = None,
    ) -> None:
        super().__init__(mean, std)
        _check_options(depth, widen_factor, dropout)
        blocks = (depth - 4) // 6
        narrow, middle, wide = 16 * widen_factor, 32 * widen_factor, 64 * widen_factor
        self.conv1 = conv3x3(len(mean), 16)
        self.layer1 = _stage(blocks, 16, narrow, 1, dropout)
        self.layer2 = _stage(blocks, narrow, middle, 2, dropout)
        self.layer3 = _stage(blocks, middle, wide, 2, dropout)
        self.bn1 = nn.BatchNorm2d(wide)
        self.linear = nn.Linear(wide, num_classes)
        initialize_he_normal(self)  # as in the authors' code, with a zero bias in the linear layer
        nn.init.zeros_(self.linear.bias)
        if weights is not None:
            load_weights(self, weights)

    def convolve(self, images: Tensor) -> Tensor:
        stem = self.conv1(images)  # (N, 16, H, W)
        features = self.layer3(self.layer2(self.layer1(stem)))
        return F.relu(self.bn1(features))  # (N, 64k, H/4, W/4)

    def head(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(average(features))
        return scores


class WideBlock(nn.Module):
    """BatchNorm, ReLU and convolution, twice, with dropout between; a widening shortcut is a 1x1 convolution."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = conv3x3(channels_in, channels_out, stride)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = conv3x3(channels_out, channels_out)
        same_shape = stride == 1 and channels_in == channels_out
        self.shortcut = None if same_shape else conv1x1(channels_in, channels_out, stride)

    def forward(self, x: Tensor) -> Tensor:  # (N, K, h, w)
        activated = F.relu(self.bn1(x))
        skipped: Tensor = x if self.shortcut is None else self.shortcut(activated)
        residual: Tensor = self.conv2(self.dropout(F.relu(self.bn2(self.conv1(activated)))))
        return skipped + residual


def _stage(blocks: int, channels_in: int, channels_out: int, stride: int, dropout: float) -> nn.Sequential:
    """Equal blocks, of which the first widens and downsamples."""
    first = WideBlock(channels_in, channels_out, stride, dropout)
    return nn.Sequential(first, *(WideBlock(channels_out, channels_out, 1, dropout) for _ in range(blocks - 1)))


def _check_options(depth: int, widen_factor: int, dropout: float) -> None:
    if depth < 10 or depth % 6 != 4:
        below = max(10, (depth - 4) // 6 * 6 + 4)
        nearest = f"{below} and {below + 6}" if depth > 10 else "10"
        raise ValueError(f"depth={depth} is not 6n + 4 with n of at least 1: the nearest are {nearest}")
    if widen_factor < 1:
        raise ValueError(f"widen_factor={widen_factor} must be at least 1")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout} must be 0 or more and less than 1")
