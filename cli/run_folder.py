"""A run has one folder for life, ``runs/<name>/<version>/``, which also says what ``best`` and ``last`` mean."""

from collections.abc import Sequence
from pathlib import Path


def find_checkpoint(word: str, configs: Sequence[Path], runs: Path) -> Path:
    """The file that ``best`` or ``last`` means.

    Args:
        word: "best" or "last".
        configs: the config files of the command; a run's own ``config.yaml`` says which run is meant.
        runs: otherwise the newest run below this folder is.

    Raises:
        FileNotFoundError: if there is none.
    """
    of_configs = [path.parent / "checkpoints" / f"{word}.ckpt" for path in configs if path.name == "config.yaml"]
    for path in reversed(of_configs):
        if path.is_file():
            return path
    if of_configs:
        raise FileNotFoundError(f"there is no {of_configs[-1]}: give the checkpoint's file with --ckpt_path")
    found = sorted(runs.glob(f"**/checkpoints/{word}.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(
            f"there is no {word}.ckpt below {runs}: run fit first, or give the checkpoint's file with --ckpt_path"
        )
    return found[-1]


def folder_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in, or None where it lies elsewhere."""
    run = checkpoint.resolve().parent.parent
    return run if checkpoint.parent.name == "checkpoints" and (run / "config.yaml").is_file() else None
