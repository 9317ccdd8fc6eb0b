"""Perturbations of one size, whichever attack found their direction."""

import torch
from torch import Tensor

from attacks.attack import Attack, Case, Found
from attacks.draws import Draws
from attacks.rows import column
from attacks.victim import Trace
from options import check_above

ROUNDS = 20  # the share of pixels that stop at black or white settles long before


class AtSize(Attack):
    """Another attack, each of its perturbations made longer or shorter until its RMSE is the wanted one.

    Compares attacks at equal sizes, as the tables of Prakash 2019 do, where minimum-norm attacks would stop far below
    the others. The direction is kept as far as pixels stay in [0, 1]. An image that the attack left unchanged stays
    so, and one that has to be shortened may fool no longer.

    Args:
        attack: finds the direction.
        rmse: root mean square of the change, in pixels scaled to [0, 1].
    """

    def __init__(self, attack: Attack, rmse: float = 0.03) -> None:
        check_above(self, 0, rmse=rmse)
        self.attack, self.rmse = attack, rmse
        self.starts_clean, self.bounded, self.random = attack.starts_clean, attack.bounded, attack.random

    def __repr__(self) -> str:
        return f"AtSize({self.attack!r}, rmse={self.rmse})"

    def search(self, case: Case, first: Trace, found: Found, draws: Draws | None) -> None:
        own = Found(case.images)
        self.attack.search(case, first, own, draws)
        points = resized(case.images, own.images.to(case.images.dtype), self.rmse)
        reached = case.goal.reached(first.victim.look(points, case.owners))
        found.offer(case.owners, points, torch.zeros_like(found.values), reached)
        found.steps = own.steps


def resized(images: Tensor, attacked: Tensor, rmse: float) -> Tensor:
    """Images (N, ...) moved towards their attacked versions, or beyond, by this RMSE or as far as [0, 1] allows."""
    direction = attacked - images
    length = direction.flatten(1).square().mean(1).sqrt()
    factor = torch.where(length > 0, rmse / length, 0)
    for _ in range(ROUNDS):
        moved = (images + column(factor, images) * direction).clamp(0, 1) - images
        size = moved.flatten(1).square().mean(1).sqrt()
        factor = torch.where(size > 0, factor * rmse / size, 0).clamp(max=1e6)  # beyond reach it would grow for ever
    return (images + column(factor, images) * direction).clamp(0, 1)
