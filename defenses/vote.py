"""Several runs of a random defence, put to the vote."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from defenses.defense import Defense
from options import check_at_least, check_whole


class Vote(nn.Module):
    """Classify several runs of a random defence and let them vote; one that is not random runs once.

    Args:
        defense: what is run.
        runs: so many times; the thesis's ensemble has ten.
    """

    def __init__(self, defense: Defense, runs: int = 10) -> None:
        super().__init__()
        check_whole(self, runs=runs)
        check_at_least(self, 1, runs=runs)
        self.defense, self.runs = defense, runs

    def forward(self, classify: Callable[[Tensor], Tensor], images: Tensor, run: int = 0) -> Tensor:
        """Class scores (N, num_classes) whose largest is the vote's.

        Args:
            classify: from images (N, C, H, W) in [0, 1] to class scores (N, num_classes).
            images: the same, in [0, 1].
            run: another number gives other runs.
        """
        runs = self.runs if self.defense.random else 1
        with self.defense.looking_once(images):
            return vote(torch.stack([classify(self.defense(images, run * self.runs + each)) for each in range(runs)]))


def vote(scores: Tensor) -> Tensor:
    """One score per class from those of several runs (runs, N, num_classes).

    The largest is the class that most runs predict; among equals, the one with the largest summed probability (Prakash
    2019, chapter 4). A score is the logarithm of the mean probability, so its gradient is that of an attacker who
    averages over the randomness; where the majority's class is not the likeliest, it is raised to just above. One run
    keeps its scores.
    """
    if len(scores) == 1:
        return scores[0]
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    logarithms = scores.log_softmax(2).logsumexp(0) - math.log(len(scores))
    counts = F.one_hot(scores.argmax(2), scores.shape[2]).sum(0)
    winner = (counts + logarithms.detach().exp()).argmax(1, keepdim=True)
    lead = logarithms.detach().amax(1, keepdim=True) - logarithms.detach().gather(1, winner)
    raised = torch.where(lead > 0, lead + 1e-3, 0)
    return logarithms.scatter_add(1, winner, raised)
