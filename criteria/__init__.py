"""What training minimises; nearest neighbours, and classes read off them."""

from criteria.distillation import distillation_loss
from criteria.embeddings import BatchStatistics, Sphere
from criteria.graph_smoothness import GraphSmoothness
from criteria.graphs import (
    Directed,
    MeanOfEdges,
    MeanOfPairs,
    Mutual,
    PerVertex,
    Reduction,
    Sum,
    Symmetry,
    Union,
)
from criteria.kernels import Cosine, Euclidean, Kernel, Metric
from criteria.loss_terms import LossTerm
from criteria.neighbors import nearest_neighbors
from criteria.readouts import ByKernel, NearestNeighbors, Readout, Uniform, Weights
from criteria.support_vectors import SupportVectors

__all__ = [
    "BatchStatistics",
    "ByKernel",
    "Cosine",
    "Directed",
    "Euclidean",
    "GraphSmoothness",
    "Kernel",
    "LossTerm",
    "MeanOfEdges",
    "MeanOfPairs",
    "Metric",
    "Mutual",
    "NearestNeighbors",
    "PerVertex",
    "Readout",
    "Reduction",
    "Sphere",
    "Sum",
    "SupportVectors",
    "Symmetry",
    "Uniform",
    "Union",
    "Weights",
    "distillation_loss",
    "nearest_neighbors",
]
