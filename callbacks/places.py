"""Where the images of a batch stand in the data, whatever the batch size and the ranks."""

from typing import Any

from lightning import Trainer
from torch import Tensor


def drawn_places(trainer: Trainer, owner: str) -> list[Tensor] | None:
    """The indices (N,) of this rank's batches in test and predict; None for a foreign loader of one process, in order.

    Args:
        trainer: that tests or predicts.
        owner: who asks, for the sentence that refuses a foreign loader of several processes.
    """
    loader: Any = trainer.predict_dataloaders if trainer.predicting else trainer.test_dataloaders
    loader = loader[0] if isinstance(loader, list | tuple) else loader
    sampler: Any = getattr(loader, "sampler", None)
    if hasattr(sampler, "draw"):
        places: list[Tensor] = sampler.draw()[0]
        return places
    if trainer.world_size > 1:
        raise ValueError(
            f"{owner} knows no image's place in the test set with {trainer.world_size} ranks and a "
            f"{type(loader).__name__}: set trainer.devices=1, or use one of the datamodules"
        )
    return None
