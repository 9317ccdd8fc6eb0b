"""A loss that pushes classes apart on the similarity graph of a batch."""

import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn

from criteria.embeddings import EmbeddingName, embedding_of
from criteria.gathering import gather_ranks
from criteria.graphs import (
    Reduction,
    ReductionName,
    Symmetry,
    SymmetryName,
    all_pairs,
    neighbor_pairs,
    reduction_of,
    symmetry_of,
)
from criteria.kernels import Kernel, Metric, MetricName
from criteria.readouts import NearestNeighbors

LOOKS = 100  # first training batches, in which training images in the order of their classes show


class GraphSmoothness(nn.Module):
    """How similar the embeddings of different classes are, instead of cross-entropy; the outputs are embeddings.

    Bontonou et al. 2019, "Introducing Graph Smoothness Loss for Training Deep Learning Architectures", arXiv
    1905.00301, definition 1: the sum of the weights exp(-α · distance) over the edges between vertices of different
    classes in the batch's graph of nearest neighbours. With L its Laplacian and Y the one-hot labels it is
    trace(Yᵀ L Y). Pairs of one class have no part. Classes are read off by nearest neighbours, unless the Classifier
    has another readout. The network's ``num_classes`` is the width of the embedding. In full precision under autocast.

    Args:
        k: neighbours of each vertex, below the batch size, or up to it with ``include_self``; None takes all, which
            needs no search. In batches smaller than the first, such as the last of an epoch, and in evaluations at
            most all.
        alpha: α, above 0.
        metric: distance of embeddings, ``l2`` or ``cosine`` (one minus the cosine), or an object.
        symmetric: an edge where either end chose the other (``union``), each (``mutual``), or from each vertex to those
            it chose (``none``); or an object.
        reduction: what the sum is divided by: the ordered pairs of vertices (``mean``), nothing (``sum``, the paper's
            formula), the vertices (``per_vertex``) or the edges (``edges``); or an object.
        scope: in training the graph of the batches of all ranks together (``global``), or one for each rank
            (``local``), as in evaluations, where ranks may have different numbers of batches.
        include_self: each vertex counts as the first of its own k neighbours.
        normalize: from outputs to embeddings: to length one (``sphere``), or an object such as ``BatchStatistics``.
    """

    def __init__(
        self,
        k: int | None = None,
        alpha: float = 2.0,
        metric: Metric | MetricName = "l2",
        symmetric: Symmetry | SymmetryName = "union",
        reduction: Reduction | ReductionName = "mean",
        scope: Literal["global", "local"] = "global",
        include_self: bool = False,
        normalize: nn.Module | EmbeddingName = "sphere",
    ) -> None:
        super().__init__()
        if k is not None and k <= include_self:
            raise ValueError(f"GraphSmoothness: k={k} leaves no neighbours: take at least {1 + include_self}")
        if scope not in ("global", "local"):
            raise ValueError(f"GraphSmoothness: scope={scope!r} is unknown: give global or local")
        self.neighbors = None if k is None else k - include_self
        self.kernel = Kernel(alpha, metric)
        self.symmetry, self.reduction = symmetry_of(symmetric), reduction_of(reduction)
        self.scope = scope
        self.embedding = embedding_of(normalize)
        self.vertices = 0  # of the first training batch
        # Kept beside the weights and not among them, so that checkpoints without it fit, too.
        self.register_state_dict_post_hook(note_vertices)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(recall_vertices)  # type: ignore[no-untyped-call]
        self.looks = LOOKS

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            outputs: of the network (N, d).
            labels: class indices (N,).
        """
        if labels.shape != outputs.shape[:1]:
            raise ValueError(
                f"GraphSmoothness: labels are of shape {tuple(labels.shape)} for outputs of {tuple(outputs.shape)}: "
                "give each image's class as one integer"
            )
        with torch.autocast(outputs.device.type, enabled=False):
            embeddings: Tensor = self.embedding(outputs)
            if self.scope == "global" and self.training:
                embeddings, labels = gather_ranks(embeddings, labels)
            edges = self.edges(embeddings.detach())
            across = labels.unsqueeze(1) != labels
            self._look_for_classes(across)
            weights = self.kernel.table(embeddings, embeddings)
            return (weights * (edges & across)).sum() / self.reduction.divisor(len(labels), edges)

    @torch.no_grad()
    def edges(self, embeddings: Tensor) -> Tensor:
        """Who is joined to whom (n, n), boolean, among embeddings (n, d)."""
        if self.training and not self.vertices:
            self.vertices = len(embeddings)
        if self.neighbors is None:
            return all_pairs(embeddings)
        if self.training and self.neighbors >= self.vertices:
            raise ValueError(
                f"GraphSmoothness: each vertex was to have {self.neighbors} neighbours besides itself, but the graph "
                f"has {self.vertices} vertices: set k lower, k=null for all, or a larger data.batch_size"
            )
        if self.neighbors >= len(embeddings) - 1:
            return all_pairs(embeddings)
        return self.symmetry.edges(neighbor_pairs(self.kernel.metric.points(embeddings), self.neighbors))

    def make_readout(self) -> NearestNeighbors:
        """What reads classes off these embeddings where nothing else is asked for."""
        return NearestNeighbors(k=10, weights="kernel")

    def _look_for_classes(self, across: Tensor) -> None:
        """Say once that nothing is learnt; not in all batches, as a look at a value makes a GPU wait."""
        if not self.training or not self.looks:
            return
        self.looks -= 1
        if not across.any():
            self.looks = 0
            warnings.warn(
                "GraphSmoothness: a batch holds one class only, so that its loss is 0 and teaches nothing; shuffle the "
                "images or take a larger batch size",
                stacklevel=2,
            )


def note_vertices(criterion: GraphSmoothness, state: Any, prefix: str, metadata: dict[str, Any]) -> None:
    """Keep the size of the first training batch, so that a resumed run takes its last, smaller batches, too."""
    metadata["vertices"] = criterion.vertices


def recall_vertices(
    criterion: GraphSmoothness, state: Any, prefix: str, metadata: dict[str, Any], *others: Any
) -> None:
    """Take over what was kept, if anything was."""
    criterion.vertices = metadata.get("vertices", criterion.vertices)
