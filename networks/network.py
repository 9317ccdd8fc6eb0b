"""What every network of the house offers (contract 2 of the design)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from networks.normalize import Normalize


class Network(nn.Module, ABC):
    """An image network in two halves: ``forward(images) == head(features(images))``.

    Args:
        mean: of each channel in [0, 1]; its length is the number of input channels.
        std: of each channel in [0, 1].
        image_size: height and width that the head needs; None where any size works.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], image_size: int | None = None) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.image_size = image_size

    @abstractmethod
    def convolve(self, images: Tensor) -> Tensor:
        """From normalised images (N, C, H, W) to the last convolutional map (N, K, h, w)."""

    @abstractmethod
    def head(self, features: Tensor) -> Tensor:
        """From the last convolutional map (N, K, h, w) to class scores or embeddings (N, d)."""

    def features(self, images: Tensor) -> Tensor:
        """The last convolutional map (N, K, h, w) of images (N, C, H, W) in [0, 1]."""
        if self.image_size is not None and images.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(
                f"{type(self).__name__} was built for images of {self.image_size}x{self.image_size}, but got "
                f"{images.shape[-2]}x{images.shape[-1]}: set the network's image_size or resize the data"
            )
        return self.convolve(self.normalize(images))

    def rename_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file by this network's names; a network that knows files of other projects overrides it."""
        return weights

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))
