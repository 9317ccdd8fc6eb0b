"""Filters leave: what belongs to them becomes zero and stays zero."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pruning.sites import Entries


@torch.no_grad()
def remove(network: nn.Module, entries: Entries) -> dict[str, Tensor]:
    """Set entries of a network's tensors to zero, in place.

    With the entries that ``pruning.entries`` lists for some filters, their maps are exactly zero in training and in
    evaluation, and the network computes what it would without them. No parameter, shape or hook is new.

    Returns:
        The old values by name, (entries, ...) each, on the CPU.
    """
    tensors = tensors_of(network)
    old = {}
    for name, indices in entries.items():
        chosen = indices.to(tensors[name].device)
        old[name] = tensors[name][chosen].cpu()
        tensors[name][chosen] = 0
    return old


@torch.no_grad()
def clear_optimizer_state(network: nn.Module, optimizer: Optimizer, keep: Mapping[str, Tensor]) -> None:
    """Forget what an optimiser remembers of removed entries: momentum, averages and whatever has the parameter's shape.

    Adam's count of steps is one number for a whole parameter and stays, so that the first update of an entry is about
    (1 - β₁) / sqrt(1 - β₂) = 3.2 learning rates long.

    Args:
        network: whose parameters are optimised.
        optimizer: of some of them.
        keep: as for ``Mask``.
    """
    parameters = dict(network.named_parameters())
    for name, kept in keep.items():
        for state in optimizer.state.get(parameters[name], {}).values():
            if isinstance(state, Tensor) and state.shape == parameters[name].shape:
                state.masked_fill_(~kept.to(state.device), 0)


class Mask:
    """Keeps entries of parameters at zero, by one fused multiplication in place after every step of an optimiser.

    Momentum and weight decay would otherwise move them.

    Args:
        network: whose parameters are masked, where they are now; make a new mask after a move to another device.
        keep: by a parameter's name, which of its elements stay, bool, broadcastable to it.
    """

    def __init__(self, network: nn.Module, keep: Mapping[str, Tensor]) -> None:
        parameters = dict(network.named_parameters())
        # Of the parameter's own shape and layout, so that the multiplication of all of them is one operation.
        self._factors = [
            torch.ones_like(parameters[name]).mul_(kept.to(parameters[name])) for name, kept in keep.items()
        ]
        self._parameters = [parameters[name] for name in keep]

    @torch.no_grad()
    def apply(self) -> None:
        """Set to zero what doesn't stay."""
        if self._parameters:
            torch._foreach_mul_(self._parameters, self._factors)  # type: ignore[arg-type]


def keep_all_but(network: nn.Module, entries: Entries) -> dict[str, Tensor]:
    """For a mask: all of the parameters but these entries, bool, (entries, 1, ...) each.

    Entries of buffers, such as the running mean of a BatchNorm without β, stay zero by themselves.
    """
    keep = {}
    for name, parameter in network.named_parameters():
        if name in entries:
            keep[name] = torch.ones(len(parameter), *[1] * (parameter.dim() - 1), dtype=torch.bool)
            keep[name][entries[name]] = False
    return keep


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}
