"""Another draw of the weights that a training started from."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def state_on_cpu(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's state."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}


def redraw(module: nn.Module, initial: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """A state that the module could have started from: its initial one, shuffled within each trainable tensor.

    Where the entries of a tensor were drawn independently from one distribution, as is usual, this is another such
    draw. Buffers and frozen parameters are as they were.

    Args:
        module: says which tensors are trained.
        initial: its state before training.
        number: of the draw; equal numbers give equal draws, on any device.
    """
    trained = {name for name, weight in module.named_parameters(remove_duplicate=False) if weight.requires_grad}
    generator = torch.Generator().manual_seed(number)
    return {name: shuffled(value, generator) if name in trained else value for name, value in initial.items()}


def shuffled(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """The same entries in a random order."""
    return tensor.flatten()[torch.randperm(tensor.numel(), generator=generator)].view(tensor.shape)
