"""L-BFGS inside [0, 1] for a batch in which every image is a problem of its own."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from attacks.boxes import MaskBox
from attacks.rows import Rows, column

MEMORY = 10  # steps from which the curvature is taken
ENOUGH = 1e-4  # share of the promised decrease that a step must bring (Armijo's rule)
SHORTEST = 1 / 64  # length at which a line search gives up
FIRST = 0.25  # longest first move
SETTLED = 1e-3  # share of the value; a step that brings less is the last


@dataclass
class QuasiNewton(Rows):
    """Minimisers that ask for a trial point each and are told what it is worth.

    Directions come from the two-loop recursion (Nocedal and Wright 2006, "Numerical Optimization", algorithm 7.4),
    trials are clipped to [0, 1], and components that are held at an end of the range take no part in a direction.

    Attributes:
        points: (n, ...) where they are.
        value: (n,) there.
        slope: (n, ...) gradient there.
        path: (n, ...) direction of the line search under way.
        length: (n,) of the next trial along it.
        scale: (n,) inverse curvature that the last step has shown.
        moves: (n, MEMORY, ...) of the last steps.
        changes: (n, MEMORY, ...) of the slope in them.
        weights: (n, MEMORY) 1 / <move, change>; 0 where a step has taught nothing.
    """

    points: Tensor
    value: Tensor
    slope: Tensor
    path: Tensor
    length: Tensor
    scale: Tensor
    moves: Tensor
    changes: Tensor
    weights: Tensor

    @classmethod
    def at(cls, points: Tensor, curvature: float) -> Self:
        """Before anything is known: the first trial is the point itself, and it is taken whatever its value."""
        zeros, ones = torch.zeros_like(points), points.new_ones(len(points))
        memory = points.new_zeros(len(points), MEMORY, *points.shape[1:])
        return cls(
            points=points,
            value=ones * torch.inf,
            slope=zeros,
            path=zeros,
            length=ones,
            scale=ones / curvature,
            moves=memory,
            changes=memory.clone(),
            weights=points.new_zeros(len(points), MEMORY),
        )

    def trial(self) -> Tensor:
        """Where each wants to know the value, (n, ...)."""
        return (self.points + column(self.length, self.path) * self.path).clamp(0, 1)

    def judge(self, trial: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each takes its trial, and whether it goes on at all, (n,) each."""
        promised = dot(self.slope, trial - self.points).clamp(max=0)
        taken = value <= self.value + ENOUGH * promised
        return taken, torch.where(taken, self.value - value > SETTLED * value.abs(), self.length > SHORTEST)

    def advance(self, step: int, trial: Tensor, value: Tensor, slope: Tensor, taken: Tensor) -> None:
        """Set off in a new direction from the trials that are taken; come half of the way back from the others.

        Args:
            step: number of the trial, from 0.
            trial: (n, ...).
            value: (n,) there.
            slope: (n, ...) gradient there, where it is taken.
            taken: (n,).
        """
        here = column(taken, trial)
        self._learn(step % MEMORY, torch.where(here, trial - self.points, 0), torch.where(here, slope - self.slope, 0))
        self.points, self.slope = torch.where(here, trial, self.points), torch.where(here, slope, self.slope)
        self.value = torch.where(taken, value, self.value)
        self.length = torch.where(taken, 1, self.length / 2)
        self.path = torch.where(here, self._direction(step), self.path)
        if not step:  # the slope's size says little about the distance to a minimum before curvature is known
            self.length = (FIRST / dot(self.path, self.path).sqrt()).clamp(max=1)

    def _learn(self, slot: int, move: Tensor, change: Tensor) -> None:
        """Remember a step; it counts where the curvature along it is positive."""
        curvature, square = dot(move, change), dot(change, change)
        useful = curvature > 1e-10 * square
        self.moves[:, slot], self.changes[:, slot] = move, change
        self.weights[:, slot] = torch.where(useful, 1 / curvature, 0)
        self.scale = torch.where(useful, curvature / square, self.scale)

    def _direction(self, step: int) -> Tensor:
        """Minus the inverse Hessian times the slope, or steepest descent where that leads uphill."""
        fall = MaskBox().admissible(self.points, -self.slope)
        path, shares = fall, list[Tensor]()
        order = [(step - back) % MEMORY for back in range(min(step + 1, MEMORY))]  # the newest first
        for slot in order:
            shares.append(self.weights[:, slot] * dot(self.moves[:, slot], path))
            path = path - column(shares[-1], path) * self.changes[:, slot]
        path = column(self.scale, path) * path
        for slot, share in zip(reversed(order), reversed(shares)):
            share = share - self.weights[:, slot] * dot(self.changes[:, slot], path)
            path = path + column(share, path) * self.moves[:, slot]
        path = MaskBox().admissible(self.points, path)
        downhill = dot(path, fall) > 0
        return torch.where(column(downhill, path), path, column(self.scale, fall) * fall)


def dot(first: Tensor, second: Tensor) -> Tensor:
    """Inner product (n,) of each image's tensors (n, ...)."""
    return (first * second).flatten(1).sum(1)
