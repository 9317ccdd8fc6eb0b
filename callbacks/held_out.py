"""Images that training does not see, and what rankings are told about them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lightning import LightningModule, Trainer
from torch import Tensor, nn

from modes import evaluating
from pruning import Evidence


def held_out_batches(trainer: Trainer) -> Iterator[tuple[Tensor, Tensor]]:
    """This rank's validation images (N, C, H, W) and labels (N,); never test images.

    Raises:
        ValueError: if there are none.
    """
    loaders = trainer.val_dataloaders
    if loaders is None or not _listed(loaders):
        raise ValueError("there are no validation images to look at: set data.val_size above 0")
    return ((batch[0], batch[1]) for loader in _listed(loaders) for batch in loader)


def _listed(loaders: Any) -> list[Any]:
    """Whatever form a data module gives its loaders in."""
    if isinstance(loaders, Mapping):
        return list(loaders.values())
    return list(loaders) if isinstance(loaders, list | tuple) else [loaders]


def evidence_of(
    trainer: Trainer,
    pl_module: LightningModule,
    batches: Iterable[Sequence[Tensor]] = (),
    cycle: int = 0,
    seed: int = 0,
) -> Evidence:
    """What a ranking may look at: this rank's batches, judged by the run's own criterion, and sums over all ranks."""
    evidence = Evidence(batches, reduce=sum_of_ranks(trainer), cycle=cycle, seed=seed)
    evidence.criterion = unchanged(getattr(pl_module, "criterion", evidence.criterion))
    evidence.readout = getattr(pl_module, "readout", evidence.readout)
    return evidence


def unchanged(criterion: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A criterion in eval mode: looks change nothing that it keeps, and it asks no other rank."""
    if not isinstance(criterion, nn.Module):
        return criterion

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        with evaluating(criterion):
            found: Tensor = criterion(outputs, labels)
            return found

    return loss


def sum_of_ranks(trainer: Trainer) -> Callable[[Tensor], Tensor]:
    """Adds a tensor up over all ranks, by way of their device."""

    def add(tensor: Tensor) -> Tensor:
        total: Tensor = trainer.strategy.reduce(tensor.to(trainer.strategy.root_device), reduce_op="sum").cpu()
        return total

    return add
