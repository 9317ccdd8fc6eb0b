"""How much of what an attack does a defence undoes, as counts."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric


class DestructionRate(Metric):
    """Share of the images fooled by an attack that a defence brings back; those that were wrong before do not count.

    With C(x, y) = 1 where x is classified as y, T a defence and x' the attacked image (Prakash 2019, chapter 4)::

        destruction rate = Σ C(x, y) (1 − C(x', y)) C(T(x'), y) / Σ C(x, y) (1 − C(x', y))

    ``compute`` returns ``destruction_rate``, NaN where nothing was fooled; ``acc``, the share of recognised images that
    the defended network still recognises under attack; ``acc_undefended``, the same of the network alone;
    ``acc_of_all``, the share of all images that are right behind the defence, whether they were before or not; and the
    counts ``images``, ``recognised`` and ``fooled``. Exact over ranks and batches.

    Args:
        readings: shape of what is read beside each other, such as (defences, runs); () for one defence.
    """

    full_state_update = False
    images: Tensor
    restored: Tensor

    def __init__(self, readings: Sequence[int] = ()) -> None:
        super().__init__()
        # Images, those that are right, those of them that the attack fools.
        self.add_state("images", torch.zeros(3, dtype=torch.long), dist_reduce_fx="sum")
        # Right behind the defence: of the fooled ones, of those that are right without it, of all.
        self.add_state("restored", torch.zeros(*readings, 3, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, clean: Tensor, attacked: Tensor, defended: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            clean: predictions (N,) for the clean images.
            attacked: predictions (N,) for the attacked images, without a defence.
            defended: predictions (*readings, N) for the attacked images behind the defences.
            labels: true classes (N,).
        """
        right = clean == labels
        fooled = right & (attacked != labels)
        kept = defended == labels  # (*readings, N)
        self.images += torch.stack([torch.ones_like(right).sum(), right.sum(), fooled.sum()])
        self.restored += torch.stack([(kept & fooled).sum(-1), (kept & right).sum(-1), kept.sum(-1)], dim=-1)

    def compute(self) -> dict[str, Tensor]:
        """Rates in [0, 1], those of a defence shaped like the readings, and counts."""
        images, recognised, fooled = self.images.double()
        restored, kept, right = self.restored.double().unbind(-1)
        return {
            "destruction_rate": restored / fooled,
            "acc": kept / recognised,
            "acc_undefended": (recognised - fooled) / recognised,
            "acc_of_all": right / images,
            "images": images,
            "recognised": recognised,
            "fooled": fooled,
        }
