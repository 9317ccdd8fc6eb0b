"""Drawings of what a network's filters are like, with one panel or column for each layer."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from callbacks.figures import COLOURS, INK, LINE, blank_drawing, colour_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure as Drawing

ANOMALY = (
    0.3  # what correlations of random orthogonal filters stay below: Prakash et al. 2019, figure 5.2 of the thesis
)
COLUMNS = 4  # panels side by side
NUMBERED_LAYERS, NAMED_LAYERS = 12, 24  # with more of them, numbers and names cannot be read


def draw_correlations(correlations: Mapping[str, Tensor]) -> "Drawing":
    """Heat maps of the correlations (J, J) between the filters of each layer, from 0, clear, to 1, full."""
    drawing, panels = _panels(correlations, height=2.3)
    for axes, values in zip(panels, correlations.values()):
        image = axes.imshow(values.numpy(), cmap=_shades(), vmin=0, vmax=1, interpolation="none")
        _frame(axes)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_anchor("NW")
    _add_scale(drawing, image, panels)
    return drawing


def draw_correlation_counts(correlations: Mapping[str, Tensor], chance: float) -> "Drawing":
    """How often each correlation is met among a layer's pairs, with lines at what chance reaches and an anomaly."""
    drawing, panels = _panels(correlations, height=1.7)
    edges = torch.linspace(0, 1, 26)
    for axes, values in zip(panels, correlations.values()):
        counts = torch.histc(pairs_of(values).float(), bins=len(edges) - 1, min=0, max=1)
        axes.stairs(counts.numpy(), edges.numpy(), fill=True, color=COLOURS[0])
        axes.axvline(chance, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        axes.axvline(ANOMALY, color=COLOURS[1], linewidth=1.4)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1])
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    return drawing


def draw_drops(drops: Mapping[str, Tensor]) -> "Drawing":
    """The accuracy in points that is lost without each filter, sorted in each layer; orange where some is gained."""
    from matplotlib.ticker import SymmetricalLogLocator

    drawing, panels = _panels(drops, height=2.1, sharey=True)
    for axes, values in zip(panels, drops.values()):
        points, edges = 100 * values.sort(descending=True).values, torch.arange(len(values) + 1)
        for part, colour in ((points.clamp(min=0), COLOURS[0]), (points.clamp(max=0), COLOURS[1])):
            axes.stairs(part.numpy(), edges.numpy(), fill=True, color=colour)
        axes.set_yscale("symlog", linthresh=1)  # a few filters matter many times as much as most
        axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=[1, 3]))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlim(0, len(values))
        axes.set_xticks([len(values)])
    return drawing


def draw_removed(history: Sequence[Mapping[str, Any]], filters_per_layer: Mapping[str, int]) -> "Drawing":
    """How many filters of each layer left in each cycle, as numbers and shares.

    Args:
        history: of each cycle, its number ``cycle``, and under ``removed`` the numbers of filters by layer.
        filters_per_layer: how many there are, of all layers in their order.
    """
    counts = torch.tensor([[len(entry["removed"].get(name, ())) for name in filters_per_layer] for entry in history])
    shares = counts / torch.tensor(list(filters_per_layer.values()))
    layers, numbered = len(filters_per_layer), len(filters_per_layer) <= NUMBERED_LAYERS
    height = 1.6 + (0.5 if numbered else 0.28) * len(history)
    drawing, axes = blank_drawing(min(10.5, 2.2 + (0.75 if numbered else 0.3) * layers), height)
    image = axes.imshow(shares.numpy(), cmap=_shades(), vmin=0, vmax=1, aspect="auto", interpolation="none")
    _frame(axes)
    _name_layers(axes, list(filters_per_layer))
    axes.set_yticks(range(len(history)), labels=[str(entry["cycle"] + 1) for entry in history])
    axes.set_ylabel("cycle", color=INK, fontsize=9)
    if numbered:
        _write_shares(axes, counts, shares)
    else:
        _add_scale(drawing, image, [axes])
    return drawing


def pairs_of(correlations: Tensor) -> Tensor:
    """The correlations of a layer's pairs of filters, each once, from (J, J)."""
    rows, columns = torch.triu_indices(len(correlations), len(correlations), offset=1)
    return correlations[rows, columns]


def short(name: str, most: int = 24) -> str:
    """The end of a layer's name."""
    return name if len(name) <= most else "…" + name[1 - most :]


def _panels(layers: Mapping[str, Any], height: float, sharey: bool = False) -> "tuple[Drawing, list[Axes]]":
    """Axes in rows, one for each layer, below its name; their colours are the page's."""
    from matplotlib.figure import Figure as Drawing
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(COLUMNS, len(layers))
    rows = ceil(len(layers) / columns)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    drawing = Drawing(figsize=(0.4 + 2.5 * columns, height * rows), facecolor="none", layout=layout)
    grid = drawing.subplots(rows, columns, sharey=sharey, squeeze=False, subplot_kw={"facecolor": "none"})
    panels = list(grid.flat)
    for axes in panels[len(layers) :]:
        axes.remove()
    for axes, name in zip(panels, layers):
        colour_axes(axes)
        axes.set_title(short(name), loc="left", color=INK, fontsize=9, fontweight="bold", parse_math=False)
    return drawing, panels[: len(layers)]


def _shades() -> "Colormap":
    """From the page's own colour to blue."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shades", [(0.23, 0.51, 0.77, 0.0), (0.23, 0.51, 0.77, 1.0)])


def _frame(axes: "Axes") -> None:
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(LINE)


def _add_scale(drawing: "Drawing", image: Any, panels: "Sequence[Axes]") -> None:
    bar = drawing.colorbar(image, ax=panels, fraction=0.03, pad=0.02, aspect=25)
    bar.outline.set_visible(False)  # type: ignore[operator]
    colour_axes(bar.ax)


def _name_layers(axes: "Axes", names: Sequence[str]) -> None:
    step = ceil(len(names) / NAMED_LAYERS)
    shown = range(0, len(names), step)
    axes.set_xticks(shown, labels=[short(names[k]) for k in shown], rotation=90, fontsize=8, parse_math=False)


def _write_shares(axes: "Axes", counts: Tensor, shares: Tensor) -> None:
    for row, column in counts.nonzero().tolist():
        share = float(shares[row, column])
        words = f"{int(counts[row, column])}\n{share:.0%}"
        colour = "white" if share > 0.55 else INK
        axes.text(column, row, words, color=colour, ha="center", va="center", fontsize=8, linespacing=1.1)
