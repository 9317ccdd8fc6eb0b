"""What a report is made of, and how a plug-in adds to it."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite, isnan
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.figures import to_svg
from callbacks.reporting.pictures import grid_tag, picture_tag, thumbnail_tag, to_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Cell = str | int | float | None


class Block(ABC):
    """A piece of a section; it escapes whatever it is given."""

    @abstractmethod
    def html(self) -> str:
        """The piece as HTML, complete in itself."""


@dataclass(frozen=True)
class Text(Block):
    """Words; an empty line starts a new paragraph.

    Args:
        text: plain text.
    """

    text: str

    def html(self) -> str:
        return "".join(f"<p>{escape(part)}</p>" for part in re.split(r"\n\s*\n", self.text.strip()))


@dataclass(frozen=True)
class Table(Block):
    """Rows of words and numbers.

    Args:
        header: names of the columns.
        rows: one cell per column each; numbers are shown with four digits, None and NaN as a dash.
        caption: what one sees.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def html(self) -> str:
        numeric = [all(not isinstance(row[k], str) for row in self.rows) for k in range(len(self.header))]
        head = "".join(tagged("th", name, right) for name, right in zip(self.header, numeric, strict=True))
        body = "".join(f"<tr>{self._cells(row, numeric)}</tr>" for row in self.rows)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return figure(f'<div class="wide">{table}</div>', self.caption)

    def _cells(self, row: Sequence[Cell], numeric: Sequence[bool]) -> str:
        return "".join(tagged("td", show(cell), right) for cell, right in zip(row, numeric, strict=True))


@dataclass(frozen=True)
class Picture(Block):
    """One picture: a file, or images side by side.

    Args:
        image: the bytes of a PNG or JPEG file, or images (C, H, W) or (N, C, H, W), uint8 or float in [0, 1].
        caption: what one sees.
        columns: images per row.
    """

    image: bytes | Tensor
    caption: str = ""
    columns: int = 8

    def html(self) -> str:
        alt = escape(self.caption)
        if isinstance(self.image, bytes):
            return figure(picture_tag(self.image, alt), self.caption)
        images = self.image.unsqueeze(0) if self.image.dim() == 3 else self.image
        return figure(grid_tag(images, self.columns, alt), self.caption)


def gallery_tag(items: Sequence[str]) -> str:
    """List items one beside the other."""
    return f'<ul class="gallery">{"".join(items)}</ul>'


@dataclass(frozen=True)
class Gallery(Block):
    """Images with a few words below each.

    Args:
        images: (N, C, H, W), uint8 or float in [0, 1]; those above 96 pixels are shown as thumbnails.
        labels: one for each image; may have several lines, the first of which is printed bold.
        caption: what one sees.
        together: so many in a row belong together, and stay side by side where the page is wide enough.
    """

    images: Tensor
    labels: Sequence[str]
    caption: str = ""
    together: int = 1

    def html(self) -> str:
        items = [self._item(*pair) for pair in zip(to_bytes(self.images), self.labels, strict=True)]
        if self.together > 1:
            groups = (items[start : start + self.together] for start in range(0, len(items), self.together))
            items = [f'<li class="together">{gallery_tag(group)}</li>' for group in groups]
        return figure(gallery_tag(items), self.caption)

    def _item(self, image: Tensor, label: str) -> str:
        first, *others = (escape(line) for line in label.split("\n"))
        lines = "".join(f"<span>{line}</span>" for line in others)
        return f"<li>{thumbnail_tag(image, first)}<b>{first}</b>{lines}</li>"


@dataclass(frozen=True)
class Figure(Block):
    """A matplotlib figure, put into the page as vector graphics.

    A figure of ``callbacks.figures.blank_drawing`` takes the colours of the page, light or dark.

    Args:
        drawing: the figure; make it with ``matplotlib.figure.Figure``, as pyplot would keep it in memory.
        caption: what one sees.
    """

    drawing: "Drawing"
    caption: str = ""

    def html(self) -> str:
        return figure(to_svg(self.drawing, escape(self.caption)), self.caption)


@dataclass(frozen=True)
class Listing(Block):
    """Text in a typewriter face, folded until one opens it.

    Args:
        text: shown as it is.
        caption: what one opens.
    """

    text: str
    caption: str

    def html(self) -> str:
        return f"<details><summary>{escape(self.caption)}</summary><pre>{escape(self.text)}</pre></details>"


@dataclass(frozen=True)
class Columns(Block):
    """Blocks side by side, where the page is wide enough.

    Args:
        blocks: in reading order.
    """

    blocks: Sequence[Block]

    def html(self) -> str:
        return f'<div class="columns">{"".join(f"<div>{block.html()}</div>" for block in self.blocks)}</div>'


@dataclass(frozen=True)
class Card:
    """A headline number at the top of the report.

    Args:
        label: what it is.
        value: as it shall be read, with its unit.
        note: a few words of circumstances, such as an interval or a budget.
    """

    label: str
    value: str
    note: str = ""

    def html(self) -> str:
        """The card as HTML."""
        lines = (tagged("span", self.label), tagged("strong", self.value), tagged("small", self.note))
        return f'<div class="card">{"".join(lines)}</div>'


@dataclass(frozen=True)
class Section:
    """A headed part of the report.

    Args:
        title: heading; within a stage, a section replaces an older one of the same title.
        blocks: in reading order.
        order: place in the report: results stand at 10, curves at 20, the configuration at 90.
        cards: headline numbers that this section adds to the top of the report.
    """

    title: str
    blocks: Sequence[Block]
    order: int = 50
    cards: Sequence[Card] = ()

    @property
    def slug(self) -> str:
        """The title as part of a file name and of a link."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"

    def html(self) -> str:
        """All blocks as HTML."""
        return "\n".join(block.html() for block in self.blocks)


@runtime_checkable
class Reporting(Protocol):
    """A callback that adds to the report by defining this one method."""

    def report_sections(self, trainer: Trainer, pl_module: LightningModule) -> list[Section]:
        """Sections on what was done in this stage; none where there is nothing to say.

        Asked at the end of ``fit``, ``validate`` and ``test``, also of an interrupted ``fit``, on global rank zero
        alone: what needs other ranks must have been reduced by ``on_train_end`` or ``on_test_epoch_end``.
        """
        ...


def show(cell: Cell) -> str:
    """A cell as it is read."""
    if cell is None or (isinstance(cell, float) and isnan(cell)):
        return "–"
    if isinstance(cell, float):
        return f"{cell:#.4g}".rstrip(".") if not isfinite(cell) or abs(cell) < 1e4 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def tagged(tag: str, text: str, right: bool = False) -> str:
    """Escaped text in an element, set to the right where it is a number."""
    return f"<{tag}{' class=number' if right else ''}>{escape(text)}</{tag}>" if text or tag != "small" else ""


def figure(content: str, caption: str) -> str:
    """HTML with its caption."""
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{content}{words}</figure>"
