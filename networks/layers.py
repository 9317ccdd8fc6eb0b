"""Small pieces that several networks are made of."""

from torch import Tensor, nn


def conv3x3(channels_in: int, channels_out: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size at stride 1."""
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=bias)


def conv1x1(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(channels_in, channels_out, kernel_size=1, stride=stride, bias=False)


def conv_relu(channels_in: int, channels_out: int, bias: bool = True, batch_norm: bool = True) -> list[nn.Module]:
    """A 3x3 convolution, BatchNorm if wanted, and ReLU."""
    normalization = [nn.BatchNorm2d(channels_out)] if batch_norm else []
    return [conv3x3(channels_in, channels_out, bias=bias), *normalization, nn.ReLU()]


def average(features: Tensor) -> Tensor:
    """Global average pooling: from (N, K, h, w) to (N, K), for maps of any size."""
    return features.mean(dim=(2, 3))


def initialize_he_normal(network: nn.Module) -> None:
    """Draw convolutions from N(0, 2 / fan_out) with zero bias (He et al. 2015, arXiv 1502.01852, equation 14)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
