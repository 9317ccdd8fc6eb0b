"""What each operation does to the ownership of maps.

A rule takes the ownership so far, the number of the step and the step, and returns, for each result, the numbers of the
filter sets of its elements; nothing stands for results that are nobody's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning.filter_sets import ALWAYS, NOBODY, intersection, lost, union
from pruning.forward_pass import Step, Value

if TYPE_CHECKING:
    from pruning.ownership import Names, Ownership

Rule = Callable[["Ownership", int, Step], list[Tensor]]


def rule_of(step: Step, owned: bool) -> Rule:
    """The rule of a step, of which some input may be owned by filters."""
    rule = RULES.get(step.name, unknown)
    return rule if owned or rule in ALSO_FOR_NOBODYS else nobodys


def nobodys(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """What is made of nobody's maps is nobody's."""
    return []


def convolution(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Reads its input; each of its maps is zero without its filter."""
    weight, bias, groups = step.argument(1, "weight"), step.argument(2, "bias"), step.argument(6, "groups", 1)
    name, named_bias = ownership.name(weight), bias is None or ownership.name(bias) is not None
    if name is None or not named_bias or len(step.sources) > 1:
        return mixing_channels(ownership, index, step)
    if groups == ownership.shape(step.sources[0])[1] > 1:
        return depthwise(ownership, index, step)
    reading(ownership, index, step)
    conv = ownership.meet(name, ownership.name(bias), len(weight), index, step.results[0])
    rows = (frozenset({(conv, row)}) for row in range(len(weight)))
    return [ownership.sets.vector(rows).view(1, -1, 1, 1)]


def depthwise(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Each map is filtered for itself: without a bias, a map of zeros stays one."""
    weight, bias = step.argument(1, "weight"), step.argument(2, "bias")
    name = (ownership.name(weight) or "").removesuffix(".weight")
    ownership.left_out[name] = "it is depthwise: its filters leave with the maps that they filter"
    numbers = ownership.by_channel(step.sources[0])
    if numbers is None:
        return unknown(ownership, index, step)
    numbers = numbers.repeat_interleave(len(weight) // len(numbers))  # several filters may share a map
    if bias is not None:
        for channel, (conv, row) in ownership.owners(numbers):
            ownership.convolutions[conv].biases.add((ownership.name(bias) or "", row, channel))
        numbers = numbers.where(numbers != ALWAYS, NOBODY)
    return [numbers.view(1, -1, 1, 1)]


def normalization(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Treats each channel for itself: with γ and β of zero, zeros stay zeros."""
    tensors = [step.argument(*place) for place in ((3, "weight"), (4, "bias"), (1, "running_mean"), (2, "running_var"))]
    numbers = ownership.by_channel(step.sources[0])
    named = all(tensor is None or ownership.name(tensor) for tensor in tensors)
    if numbers is None or not named or step.function not in (F.batch_norm, F.instance_norm):
        return unknown(ownership, index, step)
    weight, bias, mean, variance = (ownership.name(tensor) for tensor in tensors)
    names: Names = (weight, bias, mean, variance)
    ownership.treat(names, numbers, step.sources[0])
    return [_channels(ownership, step, numbers.where(numbers != ALWAYS, NOBODY))]


def elementwise(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """A function of single elements, constants being part of it; tried out on zeros."""
    if len(set(step.sources)) > 1 or not _keeps_zeros(ownership, step):
        return unknown(ownership, index, step)
    return [ownership.numbers[step.sources[0]]]


def summing(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Zero where both terms are."""
    if len(step.sources) != 2:
        return elementwise(ownership, index, step)
    first, second = (ownership.numbers[source] for source in step.sources)
    ownership.end(ownership.sets.members(ownership.sets.combine(first, second, lost)), index)
    return [ownership.sets.combine(first, second, intersection)]


def multiplying(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Zero where either factor is."""
    if len(step.sources) != 2:
        return elementwise(ownership, index, step)
    first, second = (ownership.numbers[source] for source in step.sources)
    return [ownership.sets.combine(first, second, union)]


def pooling(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Mixes the elements of each channel."""
    numbers = ownership.by_channel(step.sources[0])
    if numbers is None or len(step.results) > 1 or not _keeps_zeros(ownership, step):
        return unknown(ownership, index, step)
    return [_channels(ownership, step, numbers)]


def averaging(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Over height and width it is a pooling; a sum over all channels gets nothing from zeros."""
    dims, rank = step.argument(1, "dim", step.kwargs.get("axis")), len(ownership.shape(step.sources[0]))
    dims = range(rank) if dims is None else dims if isinstance(dims, tuple | list) else (dims,)
    over, differ = {dim % rank for dim in dims}, _varies(ownership, step.sources[0])
    if not over & {0, 1, *differ}:
        return pooling(ownership, index, step)
    return (reading if step.name == "sum" and differ <= over else unknown)(ownership, index, step)


def moving(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Elements move, are copied or dropped, and the numbers of their filter sets with them."""
    if step.name == "getitem" and len(step.sources) > 1:  # which elements, depends on the images
        return unknown(ownership, index, step)

    def number(leaf: Any) -> Any:  # constants are nobody's; indices stay
        if isinstance(leaf, Value):
            return ownership.numbers[leaf.number].expand(ownership.shape(leaf.number)).to(ownership.device)
        if isinstance(leaf, Tensor) and leaf.is_floating_point():
            return torch.full_like(leaf, NOBODY, dtype=torch.float64)
        return leaf

    moved = [numbers.cpu() for numbers in step.run(number)]
    before = {owner for source in step.sources for owner in ownership.sets.members(ownership.numbers[source])}
    ownership.end(before.difference(*(ownership.sets.members(numbers) for numbers in moved)), index)
    return moved


def padding(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Zeros that are added are always zero."""
    if step.argument(2, "mode", "constant") != "constant":
        return moving(ownership, index, step)
    source = step.sources[0]
    numbers = ownership.numbers[source].expand(ownership.shape(source))
    return [F.pad(numbers, step.argument(1, "pad"), value=NOBODY if step.argument(3, "value") else ALWAYS)]


def linear(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Mixes the last dimension."""
    last = len(ownership.shape(step.sources[0])) - 1
    mixes = len(step.sources) == 1 and _varies(ownership, step.sources[0]) <= {last}
    return (reading if mixes else unknown)(ownership, index, step)


def matrix_product(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Mixes the first factor's last dimension with the second one's last but one."""
    if step.kwargs:
        return unknown(ownership, index, step)
    for leaf, dim in zip(step.args, (-1, -2)):
        if isinstance(leaf, Value):
            rank = len(ownership.shape(leaf.number))
            if _varies(ownership, leaf.number) - {dim % rank}:
                return unknown(ownership, index, step)
    return reading(ownership, index, step)


def mixing_channels(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """A convolution of another kind, or with a weight that is computed."""
    groups = step.argument(7 if "transpose" in step.name else 6, "groups", 1)
    mixes = groups == 1 and all(_varies(ownership, source) <= {1} for source in step.sources)
    return (reading if mixes else unknown)(ownership, index, step)


def reading(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Channels are mixed in weighted sums, to which zeros add nothing; each by a column of a weight, if so known."""
    for source in step.sources:
        ownership.end(ownership.sets.members(ownership.numbers[source]), index)
    weight, numbers = step.argument(1, "weight"), ownership.by_channel(step.sources[0])
    name, rank = ownership.name(weight), len(ownership.shape(step.sources[0]))
    one_each = step.name in ("linear", "conv2d") and name is not None and weight.dim() == rank
    if numbers is not None and name is not None and one_each and weight.shape[1] == len(numbers):
        ownership.read(name, numbers)
    return []


def creating(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Only the shape and type of a tensor are used."""
    made = ownership.of_zeros(step)
    return [torch.full((1,) * m.dim(), NOBODY if m.any() else ALWAYS, dtype=torch.float64) for m in made]


def unknown(ownership: Ownership, index: int, step: Step) -> list[Tensor]:
    """Nothing is known, so what goes in can't be removed."""
    ownership.leave_out(
        step.sources, f"its maps go through {step.name!r}, which is not known to keep zeros and channels"
    )
    for source in step.sources:
        ownership.end(ownership.sets.members(ownership.numbers[source]), index)
    return []


def _varies(ownership: Ownership, value: int) -> set[int]:
    """Dimensions of a value along which filter sets differ."""
    numbers = ownership.numbers[value]
    return {dim for dim in range(numbers.dim()) if (numbers != numbers.narrow(dim, 0, 1)).any()}


def _keeps_zeros(ownership: Ownership, step: Step) -> bool:
    return not any(tensor.any() for tensor in ownership.of_zeros(step))


def _channels(ownership: Ownership, step: Step, numbers: Tensor) -> Tensor:
    """Numbers by channel (C,) in a shape that broadcasts to the result's."""
    return numbers.view(1, -1, *[1] * (len(ownership.shape(step.results[0])) - 2))


def _each(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


ACTIVATIONS = {
    **_each("relu relu6 leaky_relu prelu rrelu elu celu selu gelu silu mish", elementwise),
    **_each("hardswish hardtanh tanh softsign clamp threshold", elementwise),
}
RULES: dict[str, Rule] = {
    "conv2d": convolution,
    "pad": padding,
    **ACTIVATIONS,
    **_each("batch_norm instance_norm", normalization),
    **_each("add sub", summing),
    **_each("mul", multiplying),
    **_each("mean sum", averaging),
    **_each("abs neg sqrt square sign sin erf div true_divide pow contiguous clone detach", elementwise),
    **_each("dropout dropout1d dropout2d dropout3d feature_dropout", elementwise),
    **_each("to type float double half bfloat16", elementwise),
    **_each("max_pool1d max_pool2d avg_pool1d avg_pool2d lp_pool2d interpolate upsample", pooling),
    **_each("adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d", pooling),
    **_each("getitem chunk split tensor_split unbind narrow cat concat concatenate stack", moving),
    **_each("flatten unflatten ravel reshape view view_as expand expand_as squeeze unsqueeze repeat", moving),
    **_each("permute transpose movedim flip roll channel_shuffle pixel_shuffle pixel_unshuffle", moving),
    **_each("linear", linear),
    **_each("matmul mm bmm", matrix_product),
    **_each("conv1d conv3d conv_transpose1d conv_transpose2d conv_transpose3d", mixing_channels),
    **_each("zeros_like ones_like full_like new_zeros new_ones new_full new_tensor", creating),
}
ALSO_FOR_NOBODYS = (convolution, normalization, padding, creating)
