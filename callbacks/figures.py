"""Drawings that read on light and on dark paper."""

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from math import isfinite
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

Series = Sequence[Sequence[float]]  # [[epoch, value], …]

# Two nearly black colours that stand for the page's own text and line colours once the drawing is part of a page.
INK, LINE = "#010203", "#c0c1c2"
COLOURS = ("#3b82c4", "#e07b39", "#3a9a5b", "#a05fb5", "#c44e52", "#8c8c3a")


def blank_drawing(width: float, height: float) -> "tuple[Drawing, Axes]":
    """A transparent figure of so many inches whose text and lines take the page's colours, and its axes."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(width, height), facecolor="none", layout="constrained")
    axes = drawing.add_subplot(facecolor="none")
    colour_axes(axes)
    return drawing, axes


def colour_axes(axes: "Axes") -> None:
    """Give axes the page's colours, and lines on the left and below only."""
    axes.tick_params(colors=INK, labelcolor=INK, length=0, labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)


def draw_curves(title: str, curves: Mapping[str, Series], logarithmic: bool = False) -> "Drawing":
    """One line per name over the epochs, counted from 1."""
    drawing, axes = blank_drawing(5.2, 2.8)
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold", parse_math=False)
    for colour, (name, series) in zip(COLOURS * len(curves), curves.items(), strict=False):
        epochs, values = [point[0] + 1 for point in series], [point[1] for point in series]
        marker = "o" if len(series) <= 30 else None
        axes.plot(epochs, values, color=colour, label=name, linewidth=1.8, marker=marker, markersize=3.5)
    if logarithmic:
        _scale_logarithmically(axes)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    axes.set_xlabel("epoch", color=INK, fontsize=9)
    if len(curves) > 1:
        axes.legend(frameon=False, labelcolor=INK, fontsize=9, ncols=3, loc="lower right", bbox_to_anchor=(1, 0.98))
    return drawing


def _scale_logarithmically(axes: "Axes") -> None:
    from matplotlib.ticker import LogLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def spans_decades(curves: Mapping[str, Series], factor: float = 50) -> bool:
    """Whether all values are positive and the largest is many times the smallest."""
    values = [point[1] for series in curves.values() for point in series if isfinite(point[1])]
    return bool(values) and min(values) > 0 and max(values) > factor * min(values)


def draw_confusion(counts: Tensor, classes: Sequence[str]) -> "Drawing":
    """Counts (K, K), rows are true classes; the colour is the share of the row, numbers are shown up to 30 classes."""
    from matplotlib.colors import LinearSegmentedColormap

    size = len(counts)
    side = min(9.0, max(3.6, 1.6 + 0.42 * size))
    drawing, axes = blank_drawing(side, side)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    blue = LinearSegmentedColormap.from_list("share", [(0.23, 0.51, 0.77, 0.0), (0.23, 0.51, 0.77, 1.0)])
    axes.imshow(shares.numpy() ** 0.5, cmap=blue, vmin=0, vmax=1, interpolation="none")  # root: rare errors show
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(LINE)
    _label_classes(axes, classes)
    if size <= 30:
        _write_counts(axes, counts, shares)
    return drawing


def _label_classes(axes: "Axes", classes: Sequence[str]) -> None:
    axes.set_xlabel("predicted class", color=INK, fontsize=9)
    axes.set_ylabel("true class", color=INK, fontsize=9)
    if len(classes) > 50:
        return
    names = [name if len(name) <= 16 else name[:15] + "…" for name in classes]
    upright = max(map(len, names)) <= 2
    plain: dict[str, Any] = {"parse_math": False, "fontsize": 9 if len(names) <= 30 else 6}
    axes.set_xticks(range(len(names)), labels=names, rotation=0 if upright else 90, **plain)
    axes.set_yticks(range(len(names)), labels=names, **plain)


def _write_counts(axes: "Axes", counts: Tensor, shares: Tensor) -> None:
    size = 9 if len(counts) <= 12 else 7
    for row, column in counts.nonzero().tolist():
        colour = "white" if shares[row, column] > 0.55 else INK
        axes.text(column, row, f"{int(counts[row, column])}", color=colour, ha="center", va="center", fontsize=size)


def to_svg(drawing: "Drawing", label: str) -> str:
    """The ``<svg>`` of a matplotlib figure, for use inside a page; ``label`` must be escaped."""
    import matplotlib
    from matplotlib.colors import to_rgba

    if to_rgba(drawing.get_facecolor())[3] == 0:
        _ink_texts(drawing)
    stream = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "assay"}):
        drawing.savefig(stream, format="svg", metadata=nothing)
    source = stream.getvalue()
    source = source[source.index("<svg") :].replace(INK, "currentColor").replace(LINE, "var(--line)")
    source = re.sub(r"<style.*?</style>", "", source, flags=re.DOTALL)  # it would hold for the whole page
    source = re.sub(r' id="[a-z]+(?:\.[a-z]+)*_\d+"', "", source)  # of groups; two figures would share them
    return re.sub(r"<svg[^>]*>", lambda head: _page_head(head.group(), label), source, count=1)


def _ink_texts(drawing: "Drawing") -> None:
    """Give black words the page's colour, since nothing lies between them and the page."""
    from matplotlib.colors import same_color
    from matplotlib.text import Text

    for text in drawing.findobj(Text):
        if isinstance(text, Text) and same_color(text.get_color(), "black"):
            text.set_color(INK)


def _page_head(head: str, label: str) -> str:
    (box,) = re.findall(r'viewBox="([^"]+)"', head)
    width = round(float(box.split()[2]) * 4 / 3)  # from points to pixels of the page
    return f'<svg viewBox="{box}" style="max-width: {width}px" role="img" aria-label="{label}">'


def to_pixels(drawing: "Drawing", dpi: int = 120) -> Tensor:
    """A matplotlib figure as pixels (H, W, 3) uint8, on white."""
    import numpy as np
    import torch
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from callbacks.reporting.pictures import blend_on_white

    drawing.set_dpi(dpi)
    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    return blend_on_white(torch.from_numpy(np.array(canvas.buffer_rgba())))
