"""Pre-activation ResNet-18 for small images, in the two variants that papers call by one name."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from networks.layers import average, conv1x1, conv3x3
from networks.network import Network
from networks.normalize import CIFAR10_MEAN, CIFAR10_STD
from networks.weights import load_weights


class PreActBlock(nn.Module):
    """BatchNorm, ReLU and convolution, twice; the shortcut, too, starts from the activated input."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = conv3x3(channels_in, channels_out, stride)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = conv3x3(channels_out, channels_out)
        same_shape = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Sequential() if same_shape else nn.Sequential(conv1x1(channels_in, channels_out, stride))

    def forward(self, x: Tensor) -> Tensor:  # (N, K, h, w)
        activated = F.relu(self.bn1(x))
        residual: Tensor = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        return residual + self.skip(x, activated)

    def skip(self, x: Tensor, activated: Tensor) -> Tensor:
        """What the block's input adds to its residual."""
        skipped: Tensor = self.shortcut(activated)
        return skipped


class IdentityPreActBlock(PreActBlock):
    """The block in which an input of the right shape is added as it is, without BatchNorm and ReLU."""

    def skip(self, x: Tensor, activated: Tensor) -> Tensor:
        return super().skip(x, activated) if len(self.shortcut) else x


class PreActResNet18(Network):
    """Pre-activation ResNet-18 as in ``facebookresearch/mixup-cifar10``; any image size fits.

    He et al. 2016, "Identity Mappings in Deep Residual Networks", arXiv 1603.05027, in the variant of Zhang et al.
    2018, "mixup", arXiv 1710.09412: BatchNorm and ReLU follow the first convolution, and every shortcut takes the
    activated input. No BatchNorm or ReLU follows the last block. 11,166,144 parameters without the linear layer; the
    4x4 pooling of 32x32 images is a global one here.

    Args:
        num_classes: number of classes, or width of the embedding.
        mean: of each channel in [0, 1].
        std: of each channel in [0, 1].
        weights: file to start from, see ``networks.load_weights``.
    """

    block = PreActBlock

    def __init__(
        self,
        num_classes: int = 10,
        mean: Sequence[float] = CIFAR10_MEAN,
        std: Sequence[float] = CIFAR10_STD,
        weights: str | None = None,
    ) -> None:
        super().__init__(mean, std)
        self.make_stem(len(mean))
        self.layer1 = self.make_stage(64, 64, stride=1)
        self.layer2 = self.make_stage(64, 128, stride=2)
        self.layer3 = self.make_stage(128, 256, stride=2)
        self.layer4 = self.make_stage(256, 512, stride=2)
        # PyTorch's default initialisation, as in the repositories of both variants.
        self.linear = nn.Linear(512, num_classes)
        if weights is not None:
            load_weights(self, weights)

    def make_stem(self, channels: int) -> None:
        """Build what precedes the blocks."""
        self.conv1 = conv3x3(channels, 64)
        self.bn1 = nn.BatchNorm2d(64)

    def make_stage(self, channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
        """Two blocks, of which the first may widen and downsample."""
        return nn.Sequential(self.block(channels_in, channels_out, stride), self.block(channels_out, channels_out, 1))

    def stem(self, images: Tensor) -> Tensor:
        """From normalised images (N, C, H, W) to (N, 64, H, W)."""
        return F.relu(self.bn1(self.conv1(images)))

    def convolve(self, images: Tensor) -> Tensor:
        features = self.stem(images)  # (N, 64, H, W)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)
        return features  # (N, 512, H/8, W/8)

    def head(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(average(features))
        return scores


class PreActResNet18Kuangliu(PreActResNet18):
    """Pre-activation ResNet-18 as in ``kuangliu/pytorch-cifar``: nothing after the first convolution, plain identities.

    It has the arguments of ``PreActResNet18`` and 11,166,016 parameters without the linear layer.
    """

    block = IdentityPreActBlock

    def make_stem(self, channels: int) -> None:
        self.conv1 = conv3x3(channels, 64)

    def stem(self, images: Tensor) -> Tensor:
        stem: Tensor = self.conv1(images)
        return stem
