"""The one context in which gradients of an input are taken (contract 5 of the design)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVarTuple

import torch
from torch import Tensor, nn

from modes import evaluating

Tensors = TypeVarTuple("Tensors")


@contextmanager
def attackable(model: Callable[..., Any], *tensors: *Tensors) -> Iterator[tuple[*Tensors]]:
    """Allow gradients of inputs, whatever mode the caller is in, and leave no trace in the model.

    Inside, inference mode is off and gradients are on; BatchNorm and dropout are in eval mode, parameters need no
    gradient, and tensors that were made in inference mode are replaced by copies. Training flags, ``requires_grad`` and
    the global random states return afterwards, also after an error. Take gradients with ``torch.autograd.grad`` only,
    which touches no ``.grad``. Autocast stays as the caller set it. ::

        with attackable(model, images, labels) as (images, labels):
            images.requires_grad_()
            (gradient,) = torch.autograd.grad(loss(model(images), labels), images)

    Args:
        model: a module or a module's method; of another callable nothing is known, so nothing is frozen.
        tensors: what the model will be given; None passes through.

    Yields:
        The tensors, detached, so that ``requires_grad_`` on them does not reach the caller.
    """
    module = model if isinstance(model, nn.Module) else getattr(model, "__self__", None)
    whole = module if isinstance(module, nn.Module) else nn.Identity()
    parts = list(whole.modules())
    with (
        torch.random.fork_rng(devices=_gpus(parts, tensors)),
        torch.inference_mode(False),
        torch.enable_grad(),
        _without_inference_tensors(parts),  # first: they cannot be asked for gradients again afterwards
        evaluating(whole),
        _frozen(parts),
    ):
        yield tuple(_usable(tensor) for tensor in tensors)  # type: ignore[misc]


def _usable(value: Any) -> Any:
    """The values of a tensor under a history of their own; those of inference mode copied, or autograd refuses them."""
    if not isinstance(value, Tensor):
        return value
    return value.clone() if value.is_inference() else value.detach()


@contextmanager
def _frozen(parts: Sequence[nn.Module]) -> Iterator[None]:
    """No gradients for parameters; each gets its own flag back."""
    parameters = [parameter for part in parts for parameter in part._parameters.values()]
    trained = [parameter for parameter in parameters if parameter is not None and parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def _without_inference_tensors(parts: Sequence[nn.Module]) -> Iterator[None]:
    """Copies in place of the parameters and buffers that were made in inference mode, such as a bank of embeddings."""
    replaced: list[tuple[dict[str, Any], str, Tensor]] = []
    try:
        for part in parts:
            for slots in _slots(part):
                for name, tensor in slots.items():
                    if tensor is not None and tensor.is_inference():
                        replaced.append((slots, name, tensor))
                        slots[name] = tensor.detach().clone()
        yield
    finally:
        for slots, name, tensor in replaced:
            slots[name] = tensor


def _slots(part: nn.Module) -> list[dict[str, Any]]:
    """Where a module keeps its own tensors by name."""
    return [part._parameters, part._buffers]


def _gpus(parts: Sequence[nn.Module], tensors: tuple[Any, ...]) -> list[torch.device]:
    """The CUDA devices that take part, whose random states are to be kept."""
    if not torch.cuda.is_initialized():
        return []
    found = [*tensors, *(tensor for part in parts for tensor in part._parameters.values())]
    devices = {tensor.device for tensor in found if isinstance(tensor, Tensor)}
    return [device for device in devices if device.type == "cuda"]
