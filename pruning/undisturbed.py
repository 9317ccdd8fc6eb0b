"""Look at a network without leaving a trace."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from modes import evaluating


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[torch.device]:
    """Put a network in eval mode and full precision; training flags and random states return, also after an error.

    Gradients may be taken inside, by ``torch.autograd.grad`` only, so that no ``.grad`` is touched. Compiled networks
    run uncompiled. Yields the device of the network.
    """
    device = next(network.parameters()).device
    cuda = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=cuda),
        torch.autocast(device.type, enabled=False),
        torch.inference_mode(mode=False),
        _uncompiled(),
        evaluating(network),
    ):
        yield device


def _uncompiled() -> AbstractContextManager[None]:
    """Nothing is compiled in a process that has not imported the compiler, which takes a second."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    stance: AbstractContextManager[None] = torch.compiler.set_stance("force_eager")
    return stance
