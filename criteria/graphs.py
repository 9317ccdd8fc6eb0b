"""Which pairs of a batch are edges of its graph, and what the sum over edges is divided by."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from criteria.neighbors import nearest_neighbors
from options import by_name

SymmetryName = Literal["union", "mutual", "none"]
ReductionName = Literal["mean", "sum", "per_vertex", "edges"]


class Symmetry(ABC):
    """Makes edges of who chose whom."""

    @abstractmethod
    def edges(self, chosen: Tensor) -> Tensor:
        """Edges (n, n), boolean; row μ of chosen (n, n) marks the neighbours of vertex μ."""


class Union(Symmetry):
    """An edge where either end chose the other."""

    def edges(self, chosen: Tensor) -> Tensor:
        return chosen | chosen.T


class Mutual(Symmetry):
    """An edge where each end chose the other."""

    def edges(self, chosen: Tensor) -> Tensor:
        return chosen & chosen.T


class Directed(Symmetry):
    """An edge from each vertex to those it chose."""

    def edges(self, chosen: Tensor) -> Tensor:
        return chosen


class Reduction(ABC):
    """What the sum of the weights of edges between classes is divided by."""

    @abstractmethod
    def divisor(self, vertices: int, edges: Tensor) -> Tensor | int:
        """At least 1.

        Args:
            vertices: n, how many there are.
            edges: (n, n), boolean, without loops.
        """


class MeanOfPairs(Reduction):
    """By n(n - 1), the number of ordered pairs: gradients do not grow with the batch."""

    def divisor(self, vertices: int, edges: Tensor) -> int:
        return max(1, vertices * (vertices - 1))


class Sum(Reduction):
    """By 1: the paper's formula to the letter, with gradients that learning rates of cross-entropy do not fit."""

    def divisor(self, vertices: int, edges: Tensor) -> int:
        return 1


class PerVertex(Reduction):
    """By n, the number of vertices."""

    def divisor(self, vertices: int, edges: Tensor) -> int:
        return max(1, vertices)


class MeanOfEdges(Reduction):
    """By the number of edges, each end counted."""

    def divisor(self, vertices: int, edges: Tensor) -> Tensor:
        return edges.sum().clamp(min=1)


def symmetry_of(value: Symmetry | SymmetryName) -> Symmetry:
    """A symmetry, or the one of this short name."""
    return by_name("symmetric", value, {"union": Union, "mutual": Mutual, "none": Directed})


def reduction_of(value: Reduction | ReductionName) -> Reduction:
    """A reduction, or the one of this short name."""
    classes = {"mean": MeanOfPairs, "sum": Sum, "per_vertex": PerVertex, "edges": MeanOfEdges}
    return by_name("reduction", value, classes)


def all_pairs(points: Tensor) -> Tensor:
    """The edges (n, n) of the complete graph of n points, no loops."""
    return ~torch.eye(len(points), dtype=torch.bool, device=points.device)


def neighbor_pairs(points: Tensor, neighbors: int) -> Tensor:
    """Who chooses whom (n, n), where each of n points (n, d) chooses so many others, its nearest."""
    chosen = torch.zeros(len(points), len(points), dtype=torch.bool, device=points.device)
    return chosen.scatter_(1, nearest_neighbors(points, points, neighbors, skip_self=True), True)
