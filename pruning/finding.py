"""Find the filters of any network."""

from typing import NamedTuple

from torch import Tensor, nn

from pruning.forward_pass import record
from pruning.ownership import Ownership
from pruning.sites import Site


class FoundSites(NamedTuple):
    """The convolutions whose filters can be removed, in the order in which they run, and the others.

    ``left_out`` says of every other convolution, by its name, why its filters can't be removed.
    """

    sites: list[Site]
    left_out: dict[str, str]


def find_sites(network: nn.Module, images: Tensor) -> FoundSites:
    """Follow the maps of every filter through a network.

    A filter is gone when its maps are exactly zero wherever they are its own: W, the bias, and γ and β of every
    BatchNorm on the way to where they are mixed or added to others. Which these are follows from the operations of a
    forward pass; an operation that is not known to keep zeros and channels apart leaves the convolution out.

    Args:
        network: any network; its weights don't matter.
        images: images (N, C, H, W) that it takes, of which one is used; zeros will do.

    Raises:
        ValueError: the network has no convolutions, none whose filters can be removed, or can't be followed.
    """
    kind = type(network).__name__
    if not any(isinstance(module, nn.Conv2d) for module in network.modules()):
        raise ValueError(f"{kind} has no convolutions, so it has no filters to rank: choose a convolutional network")
    ownership = Ownership(network, record(network, images[:1]))
    left_out = ownership.left_out | _left_aside(network, ownership)
    if not ownership.sites():
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:3])
        raise ValueError(f"no filter of {kind} can be removed ({reasons}): choose another network")
    return FoundSites(ownership.sites(), left_out)


def _left_aside(network: nn.Module, ownership: Ownership) -> dict[str, str]:
    """Convolutions that did not take part."""
    convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    known = ownership.convolutions.keys() | ownership.left_out.keys()
    reason = "no forward pass in eval mode runs it, or its weight is computed from other parameters"
    return {name: reason for name in convolutions if name not in known}
