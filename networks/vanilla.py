"""A plain stack of equal convolutions, the network on which filters are easiest to compare."""

from collections.abc import Sequence

from torch import Tensor, nn

from networks.layers import average, conv_relu
from networks.network import Network
from networks.normalize import CIFAR10_MEAN, CIFAR10_STD
from networks.weights import load_weights


class VanillaConvNet(Network):
    """A stack of equal 3x3 convolutions and one linear layer, called C^depth(width) in the RePr work.

    RePr: Prakash et al. 2019, "Improved Training of Convolutional Filters", arXiv 1811.07275. Without the linear layer,
    depths 3, 8, 13 and 18 of width 32 hold 19,584, 66,144, 112,704 and 159,264 parameters. The paper does not say where
    it pools: after each of the first three convolutions here.

    Args:
        depth: number of convolutions, each followed by BatchNorm and ReLU.
        width: filters per convolution.
        bias: whether convolutions have a bias.
        batch_norm: whether BatchNorm follows each convolution.
        pools: the first so many convolutions are each followed by 2x2 max-pooling.
        global_pool: average the last map, so that images of any size fit; else it is flattened.
        image_size: height and width of the images; free with ``global_pool``.
        num_classes: number of classes, or width of the embedding.
        mean: of each channel in [0, 1]; one value makes a network for grey images.
        std: of each channel in [0, 1].
        weights: file to start from, see ``networks.load_weights``.
    """

    def __init__(
        self,
        depth: int = 3,
        width: int = 32,
        bias: bool = True,
        batch_norm: bool = True,
        pools: int = 3,
        global_pool: bool = False,
        image_size: int = 32,
        num_classes: int = 10,
        mean: Sequence[float] = CIFAR10_MEAN,
        std: Sequence[float] = CIFAR10_STD,
        weights: str | None = None,
    ) -> None:
        super().__init__(mean, std, image_size=None if global_pool else image_size)
        map_size = _map_size(depth, width, pools, image_size)
        self.global_pool = global_pool
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += conv_relu(width if index else len(mean), width, bias, batch_norm)
            if index < pools:
                layers.append(nn.MaxPool2d(2))
        self.convolutions = nn.Sequential(*layers)
        # PyTorch's default initialisation, as the paper names none.
        self.linear = nn.Linear(width if global_pool else width * map_size**2, num_classes)
        if weights is not None:
            load_weights(self, weights)

    def convolve(self, images: Tensor) -> Tensor:
        features: Tensor = self.convolutions(images)  # (N, width, map_size, map_size)
        return features

    def head(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(average(features) if self.global_pool else features.flatten(1))
        return scores


def _map_size(depth: int, width: int, pools: int, image_size: int) -> int:
    """Height and width of the last map; impossible sizes are refused."""
    if depth < 1 or width < 1:
        raise ValueError(f"depth={depth} and width={width} must both be at least 1")
    if pools < 0:
        raise ValueError(f"pools={pools} must be 0 or more")
    map_size = image_size >> min(pools, depth)  # each pooling halves, rounding down
    if map_size < 1:
        raise ValueError(f"pools={pools} leaves nothing of images with image_size={image_size}: set fewer pools")
    return map_size
