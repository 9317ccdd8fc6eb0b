"""Which universal perturbations a run crafts, and how the ranks share that work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from attacks import Single, UniversalAttack
from attacks.schedules import Schedule


@dataclass(frozen=True)
class Plan:
    """A perturbation to be crafted.

    Attributes:
        name: of the perturbation: its network's, or its schedule's.
        attack: how.
        networks: the names of those it is meant for.
    """

    name: str
    attack: UniversalAttack
    networks: list[str]


@dataclass(frozen=True)
class Craft:
    """A perturbation that was crafted.

    Attributes:
        perturbation: (C, H, W) on the CPU, in pixels scaled to [0, 1].
        rates: (passes, networks) on the images it was crafted on, after each pass.
        costs: forward passes, backward passes and updates, (3,).
    """

    perturbation: Tensor
    rates: Tensor
    costs: Tensor


def plan(
    attack: UniversalAttack, schedules: Sequence[Schedule], alone: Sequence[str], together: Sequence[str]
) -> list[Plan]:
    """One perturbation for each network where the schedule is ``Single``, and one for several with any other."""
    plans = []
    for schedule in schedules:
        if isinstance(schedule, Single):
            plans += [Plan(name, attack.under(schedule), [name]) for name in alone]
        else:
            plans.append(Plan(type(schedule).__name__.lower(), attack.under(schedule), list(together)))
    return plans


def craft(
    trainer: Trainer, plans: Sequence[Plan], networks: Mapping[str, nn.Module], images: Tensor
) -> dict[str, Craft]:
    """All perturbations, on every rank the same.

    Each one is crafted by one rank, exactly as a single process would, while the other ranks craft others.
    """
    found: list[Craft | None] = [None] * len(plans)
    for place in range(trainer.global_rank, len(plans), trainer.world_size):
        each = plans[place]
        rank_zero_info(f"Crafting a universal perturbation, {each.name}, on {len(images):,} images")
        with trainer.precision_plugin.forward_context():
            result = each.attack([networks[name] for name in each.networks], images)
        costs = torch.tensor([result.forward_passes, result.backward_passes, result.updates])
        found[place] = Craft(result.perturbation.cpu(), result.fooling_rates.cpu(), costs)
    shared = [share(trainer, part, each, images) for part, each in zip(found, plans, strict=True)]
    return {each.name: part for each, part in zip(plans, shared, strict=True)}


def share(trainer: Trainer, own: Craft | None, each: Plan, images: Tensor) -> Craft:
    """A craft of one rank on all ranks, to the last bit: the others add zeros."""
    rates = torch.zeros(each.attack.passes, len(each.networks), dtype=torch.float64)
    parts = [torch.zeros(images.shape[1:], dtype=torch.float32), rates, torch.zeros(4, dtype=torch.long)]
    if own is not None:
        rates[: len(own.rates)] = own.rates
        parts = [own.perturbation.float(), rates, torch.cat([own.costs, torch.tensor([len(own.rates)])])]
    device = trainer.strategy.root_device
    sums = [trainer.strategy.reduce(part.to(device), reduce_op="sum").cpu() for part in parts]
    passes = int(sums[2][3])
    return Craft(sums[0], sums[1][:passes], sums[2][:3])


def crafting_images(trainer: Trainer, count: int, validation: bool) -> Tensor:
    """The first training or validation images (N, C, H, W) in [0, 1], the same on every rank; never test images.

    They are on the device, in the precision that the trainer gives to those of a test.

    Raises:
        ValueError: the data do not tell training images from test images.
    """
    data: Any = getattr(trainer, "datamodule", None)
    if not hasattr(data, "plain_dataloader"):
        raise ValueError(
            "UniversalPerturbation crafts on training images, which it finds in a datamodule of this platform: give "
            "one to the trainer, or give finished perturbations as files and schedule=[]"
        )
    data.setup("fit")
    part = "val" if validation else "train"
    if not len(data.sources[part]):
        raise ValueError("UniversalPerturbation: validation=True, but data.val_size is 0: set it above 0")
    trial = bool(getattr(trainer, "fast_dev_run", False))  # an attribute that Lightning does not declare
    loader = data.plain_dataloader(part, data.eval_batch_size if trial else count)
    images = torch.cat([batch[0].to(trainer.strategy.root_device) for batch in loader])
    converted: Tensor = trainer.precision_plugin.convert_input(images)
    return converted
