"""The residual networks for small images."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from networks.layers import average, conv3x3, initialize_he_normal
from networks.network import Network
from networks.normalize import CIFAR10_MEAN, CIFAR10_STD
from networks.weights import load_weights


class CifarResNet(Network):
    """The thin residual network for 32x32 images: ResNet-20, 32, 44, 56, 110 and so on; any image size fits.

    He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2, arXiv 1512.03385: three stages of n
    blocks with 16, 32 and 64 filters and shortcuts without parameters (option A). Without the linear layer, depths 20,
    32, 110 and 182 hold 269,072, 463,504, 1,727,312 and 2,893,904 parameters. Weight files of akamaster's
    ``pytorch_resnet_cifar10`` fit, with the ImageNet mean and std that they were trained with.

    Args:
        depth: 6n + 2 for n blocks per stage.
        num_classes: number of classes, or width of the embedding.
        mean: of each channel in [0, 1].
        std: of each channel in [0, 1].
        weights: file to start from, see ``networks.load_weights``.
    """

    def __init__(
        self,
        depth: int = 20,
        num_classes: int = 10,
        mean: Sequence[float] = CIFAR10_MEAN,
        std: Sequence[float] = CIFAR10_STD,
        weights: str | None = None,
    ) -> None:
        super().__init__(mean, std)
        if depth < 8 or depth % 6 != 2:
            below = max(8, (depth - 2) // 6 * 6 + 2)
            nearest = f"{below} and {below + 6}" if depth > 8 else "8"
            raise ValueError(f"depth={depth} is not 6n + 2 with n of at least 1: the nearest are {nearest}")
        blocks = (depth - 2) // 6
        self.conv1 = conv3x3(len(mean), 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(blocks, 16, 16, stride=1)
        self.layer2 = _stage(blocks, 16, 32, stride=2)
        self.layer3 = _stage(blocks, 32, 64, stride=2)
        self.linear = nn.Linear(64, num_classes)
        initialize_he_normal(self)  # section 3.4 of the paper
        if weights is not None:
            load_weights(self, weights)

    def convolve(self, images: Tensor) -> Tensor:
        stem = F.relu(self.bn1(self.conv1(images)))  # (N, 16, H, W)
        features: Tensor = self.layer3(self.layer2(self.layer1(stem)))  # (N, 64, H/4, W/4)
        return features

    def head(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(average(features))
        return scores


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut that drops every other pixel and fills new channels with zeros (option A)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = channels_out - channels_in
        self.conv1 = conv3x3(channels_in, channels_out, stride)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = conv3x3(channels_out, channels_out)
        self.bn2 = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:  # (N, K, h, w)
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(residual + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        if not self.new_channels:
            return x
        half = self.new_channels // 2  # zeros on both sides, as in the published weights
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.new_channels - half))


def _stage(blocks: int, channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    """Equal blocks, of which the first widens and downsamples."""
    first = BasicBlock(channels_in, channels_out, stride)
    return nn.Sequential(first, *(BasicBlock(channels_out, channels_out) for _ in range(blocks - 1)))
