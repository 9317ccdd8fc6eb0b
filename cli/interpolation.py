"""Configs compute: ``${of_data:…}``, ``${part_of:…}``, ``${parts_of:…}``, ``${pixels:…}`` and ``${beside:…}``."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

import datamodules


def of_data(class_path: str, name: str) -> Any:
    """A fact of a data set: ``${of_data:${data.class_path},num_classes}``, or ``mean``, ``std``, ``image_size``."""
    fact = getattr(getattr(datamodules, class_path.rpartition(".")[2]), name)
    return list(fact) if isinstance(fact, tuple) else fact


def parts_of(total: Any, *shares: Any) -> list[int]:
    """Whole numbers at given shares of a total: ``${parts_of:${trainer.max_epochs},0.5,0.75}``."""
    return [round(float(total) * float(share)) for share in shares]


def part_of(total: Any, share: Any) -> int:
    """A whole number, at least 1, at a given share of a total: ``${part_of:${trainer.max_epochs},0.2}``."""
    return max(1, round(float(total) * float(share)))


def pixels(levels: Any) -> float:
    """A number of the 255 steps between black and white as a share of them: ``${pixels:8}`` is 8/255."""
    return float(levels) / 255


def beside(path: Any, name: Any) -> str:
    """A file in another one's folder: ``${beside:${model.init_args.network.init_args.weights},resnet32.th}``."""
    return str(Path(str(path)).with_name(str(name)))


def register() -> None:
    """Make them known to config files."""
    for function in (of_data, part_of, parts_of, pixels, beside):
        OmegaConf.register_resolver(function.__name__, function, replace=True)
