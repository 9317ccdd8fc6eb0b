"""What the BatchNorm statistics of returned filters start with."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pruning.sites import Chosen, Site
from pruning.undisturbed import undisturbed


class Statistics(ABC):
    """Sets running means and variances of returned filters, which have been reset to 0 and 1.

    Attributes:
        needs_images: whether it looks at the batches.
    """

    needs_images = False

    @abstractmethod
    def settle(
        self, network: nn.Module, sites: Sequence[Site], chosen: Chosen, batches: Iterable[Sequence[Tensor]]
    ) -> None:
        """Change statistics of the chosen filters, in place."""


class ResetStatistics(Statistics):
    """Leaves them at 0 and 1, from where training moves them."""

    def settle(
        self, network: nn.Module, sites: Sequence[Site], chosen: Chosen, batches: Iterable[Sequence[Tensor]]
    ) -> None:
        return


class MeasuredStatistics(Statistics):
    """Measures them on held-out images, without learning.

    Args:
        batches: how many are looked at.
    """

    needs_images = True

    def __init__(self, batches: int = 10) -> None:
        if batches < 1:
            raise ValueError(f"batches={batches} must be at least 1")
        self.batches = batches

    def settle(
        self, network: nn.Module, sites: Sequence[Site], chosen: Chosen, batches: Iterable[Sequence[Tensor]]
    ) -> None:
        recalibrate(network, sites, chosen, islice(batches, self.batches))


@torch.no_grad()
def recalibrate(network: nn.Module, sites: Sequence[Site], chosen: Chosen, batches: Iterable[Sequence[Tensor]]) -> None:
    """Measure running means and variances of chosen filters over batches of images (and labels), without learning.

    Statistics of all other channels stay as they are. They are means over the batches of this process: under DDP, the
    buffers have to be broadcast.
    """
    buffers = dict(network.named_buffers())
    with undisturbed(network) as device, _measuring(network):
        for images, *_ in batches:
            network(images.to(device))
        measured = {name: buffer.clone() for name, buffer in buffers.items()}
    for site in sites:
        for norm in site.norms if site.name in chosen else ():
            channels = norm.channels_of(chosen[site.name])
            for name in filter(None, (norm.mean, norm.variance)):
                buffers[name][channels] = measured[name][channels]


@contextmanager
def _measuring(network: nn.Module) -> Iterator[None]:
    """Normalisation layers take the mean of all batches; afterwards they are what they were."""
    layers = [module for module in network.modules() if isinstance(module, _NormBase) and module.track_running_stats]
    before = [(layer.momentum, {name: buffer.clone() for name, buffer in layer.named_buffers()}) for layer in layers]
    try:
        for layer in layers:
            layer.train()
            layer.momentum = None  # the mean over all batches so far
            layer.reset_running_stats()
        yield
    finally:
        for layer, (momentum, buffers) in zip(layers, before):
            layer.momentum = momentum
            layer.load_state_dict(buffers, strict=False)
