"""Single weights leave, where filters are too much."""

import torch
from torch import Tensor, nn

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def smallest_weights(network: nn.Module, percent: float, whole_network: bool = False) -> dict[str, Tensor]:
    """Which weights stay when the smallest ones by absolute value leave, for ``Mask``: bool, by a parameter's name.

    Weights of convolutions and linear layers are meant, not biases or normalisation. Exactly round(p n) of n weights
    leave, but never all; equal ones in their order.

    Args:
        network: whose weights are ranked.
        percent: p, in (0, 100).
        whole_network: rank all weights in one list, else each layer's in its own.
    """
    if not 0 < percent < 100:
        raise ValueError(f"percent={percent} must lie between 0 and 100, both excluded")
    layers = {name: module for name, module in network.named_modules() if isinstance(module, WEIGHTED)}
    weights = {f"{name}.weight".lstrip("."): module.weight.detach() for name, module in layers.items()}
    sizes = {name: weight.abs().flatten().cpu() for name, weight in weights.items()}
    if whole_network:
        kept = _largest(torch.cat(list(sizes.values())), percent).split([len(size) for size in sizes.values()])
    else:
        kept = tuple(_largest(size, percent) for size in sizes.values())
    return {name: part.view(weights[name].shape) for name, part in zip(sizes, kept)}


def _largest(sizes: Tensor, percent: float) -> Tensor:
    """All but the smallest p percent, bool (n,)."""
    kept = torch.ones(len(sizes), dtype=torch.bool)
    leaving = min(round(percent * len(sizes) / 100), len(sizes) - 1)
    kept[sizes.sort(stable=True).indices[:leaving]] = False
    return kept
