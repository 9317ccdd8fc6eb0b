"""How large a budget has to be."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from attacks.attack import Model
from attacks.fixed_budget import FixedBudget


def smallest_budgets(
    attack: FixedBudget,
    model: Model,
    images: Tensor,
    labels: Tensor | None,
    budgets: Sequence[float],
    generator: Generator | None = None,
) -> Tensor:
    """The first of some rising budgets with which an attack fools a model, for every image (N,); infinite if none does.

    Images that are fooled are not attacked again. A wrong prediction of the clean image has the budget 0.

    Args:
        attack: its step grows in proportion to the budget.
        model: from images in [0, 1] to class scores (N, num_classes).
        images: (N, C, H, W) in [0, 1].
        labels: true classes (N,); the model's own predictions where None.
        budgets: in the unit of ``eps``, rising.
        generator: of the CPU, for random starts.
    """
    check_budgets(budgets)
    smallest = torch.full((len(images),), torch.inf, dtype=torch.float32, device=images.device)
    left = torch.arange(len(images), device=images.device)
    for budget in budgets:
        if not len(left):
            break
        known = None if labels is None else labels[left]
        result = attack.at(budget)(model, images[left], known, generator=generator)
        smallest[left[result.already]] = 0
        smallest[left[result.success]] = budget
        left = left[~(result.success | result.already)]
    return smallest


def check_budgets(budgets: Sequence[float]) -> None:
    """Refuse budgets that do not rise from above 0."""
    if any(low >= high for low, high in zip([0.0, *budgets], budgets)):
        raise ValueError(f"budgets={list(budgets)} must rise, from above 0")
