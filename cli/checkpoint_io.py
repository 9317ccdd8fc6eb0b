"""Checkpoints that are written whole or not at all."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

FROM_FORKED_RANK = ".temp.ckpt"  # in which Lightning brings weights from forked ranks back to the first process


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the checkpoint and renames at the end, so that the last good one survives a full disk or a kill."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Raises OSError, in one sentence, where the file cannot be written; the older file stays."""
        final = Path(path)
        draft = final.with_name(f"{final.name}.part")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            write_durably(checkpoint, draft)
            os.replace(draft, final)
        except (OSError, RuntimeError) as error:  # torch reports a short write as RuntimeError
            draft.unlink(missing_ok=True)
            raise OSError(
                f"{final} could not be written ({error}): make room or choose another "
                "trainer.logger.init_args.save_dir; the last good checkpoint is kept"
            ) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads data only, never code, unless ``weights_only`` is False."""
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no checkpoint {path}: give --ckpt_path best, last or a file")
        try:
            content = super().load_checkpoint(path, map_location or cpu_first, weights_only)
        except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, OSError) as error:
            raise ValueError(f"{path} is truncated or no checkpoint: give another file with --ckpt_path") from error
        complete = isinstance(content, Mapping) and "state_dict" in content and "loops" in content
        if not complete and Path(path).name != FROM_FORKED_RANK:
            raise ValueError(
                f"{path} holds weights but no training state: load it with the network's weights option instead of "
                "--ckpt_path"
            )
        return dict(content)


def write_durably(checkpoint: dict[str, Any], path: Path) -> None:
    """Save and wait until the bytes are on the disk."""
    with path.open("wb") as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())


def cpu_first(storage: Any, location: str) -> Any:
    """Read onto the CPU; Lightning moves what belongs on another device."""
    return storage
