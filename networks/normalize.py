"""The first layer of every network: from pixels in [0, 1] to what the network was trained on."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    """Subtract the mean and divide by the standard deviation of each channel.

    Args:
        mean: one value per channel, in pixels scaled to [0, 1].
        std: one positive value per channel, in pixels scaled to [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std):
            raise ValueError(
                f"mean has {len(mean)} channels and std has {len(std)}: give one value per channel to both"
            )
        if min(std) <= 0:
            raise ValueError(f"std={list(std)} must be positive in every channel")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:  # (N, C, H, W), float in [0, 1]
        channels = len(self.mean)
        if images.dim() != 4 or images.shape[1] != channels:
            raise ValueError(
                f"the network takes images of shape (N, {channels}, H, W), but got {tuple(images.shape)}: "
                "its mean and std need one value per channel of the data"
            )
        if not images.is_floating_point():
            raise TypeError(f"the network takes floating-point images in [0, 1], but got {images.dtype}: divide by 255")
        return (images - self.mean) / self.std
