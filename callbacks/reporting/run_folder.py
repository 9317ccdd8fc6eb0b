"""What a run folder remembers between commands: ``metrics.json``, the sections of plug-ins, the page."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from callbacks.sections import Card, Section

STAGES = ("fit", "validate", "test")


@dataclass(frozen=True)
class StoredSection:
    """A section as it was rendered at the end of a stage."""

    stage: str
    slug: str
    title: str
    order: int
    html: str
    cards: list[dict[str, str]]

    @classmethod
    def render(cls, stage: str, section: Section) -> "StoredSection":
        """The section in its final form."""
        cards = [asdict(card) for card in section.cards]
        return cls(stage, section.slug, section.title, section.order, section.html(), cards)

    def headline(self) -> list[Card]:
        """The section's cards."""
        return [Card(**card) for card in self.cards]


class RunFolder:
    """Reads and writes the files that a report is made of; each file is replaced as a whole or not at all.

    Args:
        path: the run folder; it is made when something is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def read_record(self) -> dict[str, Any]:
        """What ``metrics.json`` holds, or nothing where there is none."""
        record = self._read_json(self.path / "metrics.json")
        return record if isinstance(record, dict) else {}

    def write_record(self, record: dict[str, Any]) -> None:
        """Replace ``metrics.json``; ``finite`` makes a record fit for it."""
        self._replace("metrics.json", json.dumps(record, indent=1, allow_nan=False))

    def write_page(self, page: str) -> None:
        """Replace ``report.html``."""
        self._replace("report.html", page)

    def read_config(self) -> str | None:
        """The run's configuration, if it was saved."""
        path = self.path / "config.yaml"
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def read_sections(self) -> list[StoredSection]:
        """The sections of all stages, in the order in which they are shown; of two alike the earlier stage's."""
        contents = [self._read_json(path) for path in (self.path / "sections").glob("*.json")]
        sections = [StoredSection(**content) for content in contents if isinstance(content, dict)]
        sections.sort(key=lambda section: (section.order, STAGES.index(section.stage), section.slug))
        unique: dict[tuple[str, str], StoredSection] = {}
        for section in sections:
            unique.setdefault((section.slug, section.html), section)
        return list(unique.values())

    def write_sections(self, stage: str, sections: Iterable[Section]) -> None:
        """Add a stage's sections, each in place of an older one of the same title."""
        for section in sections:
            stored = StoredSection.render(stage, section)
            self._replace(f"sections/{stage}-{stored.slug}.json", json.dumps(asdict(stored)))

    def drop_sections(self, stage: str) -> None:
        """Remove a stage's sections."""
        for path in (self.path / "sections").glob(f"{stage}-*.json"):
            path.unlink()

    def label(self, file: str | Path | None) -> str | None:
        """A file's path inside the run folder, or its bare name outside of it."""
        if not file:
            return None
        whole = Path(file).resolve()
        folder = self.path.resolve()
        return whole.relative_to(folder).as_posix() if whole.is_relative_to(folder) else whole.name

    def _read_json(self, path: Path) -> Any:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            rank_zero_warn(f"{path} is no valid JSON ({error}): it is left out and written anew")
            return None

    def _replace(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def finite(value: Any) -> Any:
    """Plain data in which NaN and infinity, which JSON does not know, are None."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def fingerprint(state: Mapping[str, Any]) -> str:
    """Twelve digits of a state dict, equal for equal weights, so that no model's results are taken for another's."""
    digest = hashlib.sha256()
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]
