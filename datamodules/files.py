"""Reading official data files: what is missing or damaged is named, and nothing is executed."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from numpy._core import multiarray, numeric


def require_files(folder: Path, names: Sequence[str], data_set: str, downloadable: bool = True) -> list[Path]:
    """The files' paths, or one sentence that says where we looked, what should be there and what to do."""
    remedy = "point data.init_args.root elsewhere" + (
        " or set data.init_args.download to true" if downloadable else " or copy it there"
    )
    try:
        missing = [name for name in names if not (folder / name).is_file()]
        if not missing:
            for name in names:
                (folder / name).open("rb").close()
    except PermissionError as error:
        raise PermissionError(
            f"{data_set}: no permission to read {error.filename}: change its access rights or {remedy}"
        ) from error
    if missing:
        raise FileNotFoundError(
            f"{data_set}: looked in {folder.absolute()} for {', '.join(names)}, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing: {remedy}"
        )
    return [folder / name for name in names]


class ArrayUnpickler(pickle.Unpickler):
    """Reads the pickles of CIFAR: plain containers and numpy arrays, and refuses anything that could run code."""

    allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("multiarray", "_reconstruct"): multiarray._reconstruct,  # type: ignore[attr-defined]
        ("numeric", "_frombuffer"): numeric._frombuffer,  # type: ignore[attr-defined]
    }

    def find_class(self, module: str, name: str) -> Any:
        """Only what an array is made of."""
        package, _, last = module.rpartition(".")
        if package in ("numpy.core", "numpy._core") and (last, name) in self.allowed:
            return self.allowed[last, name]
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")


def read_pickled_arrays(path: Path) -> dict[str, Any]:
    """The dict in a CIFAR file, its keys as text; a damaged or foreign file is named."""
    try:
        with path.open("rb") as file:
            content = ArrayUnpickler(file, encoding="latin1").load()
        return {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
    except (pickle.UnpicklingError, EOFError, AttributeError, ValueError, TypeError, IndexError, KeyError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, reason: object) -> ValueError:
    """The sentence for a file that cannot be read."""
    return ValueError(f"{path} is truncated or damaged ({reason}): remove it and get it again")
