"""The random state of every rank, so that dropout and noise continue where an interrupted run stopped."""

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor


def collect_random_state(trainer: Trainer) -> dict[str, Tensor]:
    """Torch's random state on the CPU and on the training device: one row per rank. All ranks must call this."""
    device = trainer.strategy.root_device
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    gathered = {name: trainer.strategy.all_gather(state.to(device)) for name, state in states.items()}
    return {name: rows.view(trainer.world_size, -1).cpu() for name, rows in gathered.items()}


def restore_random_state(trainer: Trainer, states: dict[str, Tensor]) -> None:
    """Continue this rank's random state; with another number of ranks or another device there is none to continue."""
    device = trainer.strategy.root_device
    if len(states["cpu"]) != trainer.world_size or ("cuda" in states) != (device.type == "cuda"):
        rank_zero_warn("the checkpoint was written on other devices: dropout and noise will not repeat exactly")
        return
    # Cloned, as torch reads the storage from its start, whatever row it is given.
    own = {name: rows[trainer.global_rank].clone() for name, rows in states.items()}
    torch.set_rng_state(own["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(own["cuda"], device)
