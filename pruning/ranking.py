"""What a ranking is: it gives every filter an importance, and the higher is kept."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.sites import Site

Importance = dict[str, Tensor]  # by a convolution's name: of each of its filters, float64 (J,), higher is kept


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


@dataclass
class Evidence:
    """What a ranking may look at besides the weights.

    Attributes:
        batches: of images (N, C, H, W) and labels (N,), held out from training; in a training on several ranks, this
            rank's.
        criterion: from the network's outputs and labels to the mean loss of the images.
        readout: from the network's outputs to class scores.
        reduce: adds up a tensor of all ranks, float64 on the CPU. All results are sums over images until then.
        cycle: how many rankings came before.
        seed: of the run, for what is drawn.
    """

    batches: Iterable[Sequence[Tensor]] = ()
    criterion: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    readout: Callable[[Tensor], Tensor] = _as_it_is
    reduce: Callable[[Tensor], Tensor] = _as_it_is
    cycle: int = 0
    seed: int = 0


class Ranking(ABC):
    """Gives every filter an importance; the lowest are removed.

    Attributes:
        needs_images: whether it looks at the evidence's batches.
    """

    needs_images = False

    @abstractmethod
    def importance(self, network: nn.Module, sites: Sequence[Site], evidence: Evidence | None = None) -> Importance:
        """The importance of every filter by the name of its convolution, in the order of the sites."""


def rows(network: nn.Module, site: Site) -> Tensor:
    """The filters of a convolution as vectors, float64 on the CPU, (J, D)."""
    return network.get_parameter(site.weight).detach().to("cpu", torch.float64).flatten(1)


def unit_length(importance: Importance) -> Importance:
    """Divide each layer's importances by their L2 norm, which makes layers comparable.

    Molchanov et al. 2017, "Pruning Convolutional Neural Networks for Resource Efficient Inference", arXiv 1611.06440,
    section 2.3.
    """
    return {name: values / (values.norm() or 1.0) for name, values in importance.items()}


class UnitLength(Ranking):
    """Another ranking, each layer's importances divided by their L2 norm.

    Args:
        ranking: the other one.
    """

    def __init__(self, ranking: Ranking) -> None:
        self.ranking = ranking
        self.needs_images = ranking.needs_images

    def importance(self, network: nn.Module, sites: Sequence[Site], evidence: Evidence | None = None) -> Importance:
        return unit_length(self.ranking.importance(network, sites, evidence))
