"""How metrics went over the epochs, as plain data that a checkpoint can hold."""

from collections.abc import Mapping

from lightning import Trainer
from torch import Tensor

History = dict[str, list[list[float]]]  # [epoch, value] per epoch, for each metric


def learning_rates(trainer: Trainer) -> dict[str, float]:
    """The learning rate of each optimiser's first group: ``lr``, or ``lr/0``, ``lr/1`` and so on."""
    rates = [float(optimizer.param_groups[0]["lr"]) for optimizer in trainer.optimizers]
    return {"lr": rates[0]} if len(rates) == 1 else {f"lr/{index}": rate for index, rate in enumerate(rates)}


def note(history: History, epoch: int, values: Mapping[str, float]) -> None:
    """Add an epoch's values; a value that the epoch has already is replaced."""
    for name, value in values.items():
        series = history.setdefault(name, [])
        if series and series[-1][0] == epoch:
            series.pop()
        series.append([epoch, value])


def scalars(metrics: Mapping[str, Tensor]) -> dict[str, float]:
    """Metrics as numbers, without those of a single step and the second name of those that are logged both ways."""
    repeated = {name for name in metrics if name.endswith("_epoch") and name.removesuffix("_epoch") in metrics}
    return {n: float(value) for n, value in metrics.items() if not n.endswith("_step") and n not in repeated}


def new_scalars(metrics: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> dict[str, float]:
    """Metrics that were logged since: the trainer keeps old values, but puts a new tensor in place for a new one."""
    return scalars({name: value for name, value in metrics.items() if value is not before.get(name)})


def last_values(history: History) -> dict[str, float]:
    """The last value of each metric."""
    return {name: series[-1][1] for name, series in history.items()}
