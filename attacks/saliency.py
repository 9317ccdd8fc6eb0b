"""The components that JSMA changes next: the best of a saliency map, found without a table of all pairs."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Saliency(ABC):
    """Chooses components by what they do for the target and against the other classes.

    Papernot et al. 2016, "The Limitations of Deep Learning in Adversarial Settings", arXiv 1511.07528.

    Attributes:
        count: how many are chosen at a time.
    """

    count: int

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def choose(self, gain: Tensor, harm: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """The best components (n, count), and whether there are any (n,).

        Args:
            gain: derivative (n, d) of the target's score, per component in the direction of its change.
            harm: minus the derivative (n, d) of the sum of the other scores.
            free: which components (n, d) may be chosen.
        """


class Singles(Saliency):
    """One component at a time: the largest gain × harm where both are positive (equation 8 of the paper)."""

    count = 1

    def choose(self, gain: Tensor, harm: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        best, places = torch.where(free, _worth(gain, harm), -torch.inf).max(1, keepdim=True)
        return places, best.squeeze(1) > -torch.inf


class Pairs(Saliency):
    """Two at a time: the largest product of summed gains and summed harms, both positive (algorithm 3 of the paper).

    The result is that of a search over all pairs. In a best pair neither component is exceeded in gain and in harm by
    two others, since one of those could take its place; few components are left to be paired.
    """

    count = 2

    def choose(self, gain: Tensor, harm: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        gain, harm = (torch.where(free, values, -torch.inf) for values in (gain, harm))
        some = _not_below_the_best(gain, harm)  # so that few are to be sorted
        few = some.gather(1, _hardly_exceeded(gain.gather(1, some), harm.gather(1, some)))  # (n, m)
        gain, harm = gain.gather(1, few), harm.gather(1, few)
        worth = _worth(gain[:, :, None] + gain[:, None], harm[:, :, None] + harm[:, None])  # (n, m, m)
        worth.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
        best, place = worth.flatten(1).max(1)
        m = few.shape[1]
        return few.gather(1, torch.stack([place // m, place % m], 1)), best > -torch.inf


def _worth(gain: Tensor, harm: Tensor) -> Tensor:
    """What a choice is worth: minus infinity unless gain and harm are positive."""
    return torch.where((gain > 0) & (harm > 0), gain * harm, -torch.inf)


def _not_below_the_best(gain: Tensor, harm: Tensor, count: int = 4) -> Tensor:
    """Components (n, k) that at most one of those with the largest sums equals or exceeds in both respects.

    Gain and harm mostly rise together, so these are hardly more than the ``count`` largest themselves.
    """
    best = (gain + harm).topk(min(count, gain.shape[1]), dim=1).indices
    exceeded = torch.zeros(gain.shape, dtype=torch.uint8, device=gain.device)
    for place in best.split(1, dim=1):
        exceeded += (gain <= gain.gather(1, place)) & (harm <= harm.gather(1, place))
    kept = (exceeded < 2).scatter_(1, best, True)
    return kept.byte().topk(int(kept.sum(1).max())).indices


def _hardly_exceeded(gain: Tensor, harm: Tensor) -> Tensor:
    """Components (n, m) that at most one other equals or exceeds in both respects; filled up with any others."""
    order = gain.argsort(dim=1, descending=True, stable=True)
    harm = harm.gather(1, order)
    largest = harm.cummax(1).values
    second = torch.minimum(harm[:, 1:], largest[:, :-1]).cummax(1).values  # second largest of those so far, from 1 on
    kept = torch.ones_like(harm, dtype=torch.bool)
    kept[:, 2:] = harm[:, 2:] > second[:, :-1]
    most = int(kept.sum(1).max())
    return order.gather(1, kept.byte().topk(most).indices)
