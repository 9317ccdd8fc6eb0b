"""The rows of all ranks, with gradients."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Gather(torch.autograd.Function):
    """Concatenates the ranks' rows in rank order; each rank gets the sum of all ranks' gradients of its own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        padded = torch.zeros(max(sizes), *rows.shape[1:], dtype=rows.dtype, device=rows.device)
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return _OwnSum.apply(gradients[0], ctx.sizes), None


class _OwnSum(torch.autograd.Function):
    """The sum over the ranks, of which each gets its own rows; this and gathering are each the other's gradient."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        total = rows.contiguous().clone()
        dist.all_reduce(total)
        rank = dist.get_rank()
        start = sum(sizes[:rank])
        return total[start : start + sizes[rank]]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return _Gather.apply(gradients[0], ctx.sizes), None


def gather_ranks(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows of all ranks, first those of rank 0; with one process, the tensors as they are.

    Where every rank computes the same loss of the result and gradients are averaged over ranks, as DDP does, parameters
    get the gradient of one process with the joint batch. Ranks may have different numbers of rows. All must call this.

    Args:
        tensors: (N, ...) each, with one and the same N.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensors
    own = torch.tensor([len(tensors[0])], device=tensors[0].device)
    counts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, own)
    sizes: list[int] = torch.cat(counts).tolist()
    return tuple(_Gather.apply(tensor, sizes) for tensor in tensors)
