"""Weights that a training needs again when it is resumed, in files beside its checkpoints."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from lightning import Trainer
from torch import Tensor

from callbacks.reporting.run_folder import fingerprint

FOLDER = "generations"


def keep_weights(trainer: Trainer, name: str, state: Mapping[str, Tensor]) -> str:
    """Write a state, equal on all ranks, into the run folder; returns the file's name, which a checkpoint can hold.

    The name ends in a fingerprint of the content, so that runs in one folder do not take each other's files. Networks
    read the file by their ``weights`` option. Every rank must call this; a trial run (``fast_dev_run``) writes nothing.
    """
    folder = own_folder(trainer)
    file = f"{name}-{fingerprint(state)}.pt"
    trial = getattr(trainer, "fast_dev_run", False)  # an attribute that Lightning does not declare
    if trainer.is_global_zero and not trial and not (folder / file).exists():
        trainer.strategy.checkpoint_io.save_checkpoint({"state_dict": dict(state)}, folder / file)
    return file


def recall_weights(trainer: Trainer, file: str) -> dict[str, Tensor]:
    """The state that `keep_weights` wrote: beside the checkpoint that is resumed, or in this run's folder.

    A run that goes on in another folder gets its own copy. Every rank must call this.

    Raises:
        FileNotFoundError: it is in none of these places.
        ValueError: the file is damaged.
    """
    checkpoint = Path(trainer.ckpt_path or "").absolute()
    folders = [*(parent / FOLDER for parent in list(checkpoint.parents)[:2]), own_folder(trainer)]
    path = next((folder / file for folder in folders if (folder / file).is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{checkpoint.name} cannot be resumed without {FOLDER}/{file}, which was written beside it: copy the whole "
            f"run folder, or this file to {folders[-1]}"
        )
    state = read(path)
    name, content = path.stem.rsplit("-", 1)
    if fingerprint(state) != content:
        raise ValueError(f"{path} is damaged, and the run cannot be resumed without it: copy it anew")
    keep_weights(trainer, name, state)
    return state


def read(path: Path) -> dict[str, Tensor]:
    """The state in a file; an empty one where the file is damaged."""
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except (RuntimeError, EOFError, OSError, KeyError, pickle.UnpicklingError):
        return {}
    return state


def own_folder(trainer: Trainer) -> Path:
    """Where this run keeps such files."""
    return Path(trainer.log_dir or trainer.default_root_dir) / FOLDER
