"""Drawings of embeddings."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from callbacks.figures import INK, colour_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing


def draw_frames(frames: Mapping[int, tuple[Tensor, Tensor]], classes: Sequence[str]) -> "Drawing":
    """Embeddings (n, d) with labels (n,) by epoch, side by side, on the principal plane of the last ones."""
    from matplotlib.figure import Figure as Drawing

    columns = min(3, len(frames))
    rows = ceil(len(frames) / columns)
    drawing = Drawing(figsize=(0.4 + 2.9 * columns, 0.5 + 2.9 * rows), facecolor="none", layout="constrained")
    grid = drawing.subplots(rows, columns, squeeze=False).flatten()
    project = principal_plane(frames[max(frames)][0])
    for axes, (epoch, (embeddings, labels)) in zip(grid, sorted(frames.items())):
        scatter(axes, project(embeddings), labels, len(classes))
        axes.set_title(f"after epoch {epoch + 1}", color=INK, fontsize=10)
    for axes in grid[len(frames) :]:
        axes.set_axis_off()
    if len(classes) <= 20:
        dots = [colour(label, len(classes)) for label in range(len(classes))]
        handles = [grid[0].plot([], [], "o", color=dot, label=name)[0] for dot, name in zip(dots, classes)]
        drawing.legend(handles=handles, loc="outside lower center", ncols=10, frameon=False, labelcolor=INK, fontsize=8)
    return drawing


def scatter(axes: "Axes", points: Tensor, labels: Tensor, classes: int) -> None:
    """Points (n, 2), coloured by label."""
    colour_axes(axes)
    axes.set_facecolor("none")
    axes.set_aspect("equal", adjustable="datalim")
    x, y = points.T.tolist()
    # As pixels also within vector graphics, where a thousand circles would be a hundred kilobytes.
    axes.scatter(x, y, s=5, c=[colour(label, classes) for label in labels.tolist()], linewidths=0, rasterized=True)


def colour(label: int, classes: int) -> tuple[float, ...]:
    """A colour for each class."""
    from matplotlib import colormaps

    palette = colormaps["tab10"] if classes <= 10 else colormaps["hsv"]
    return tuple(palette(label if classes <= 10 else label / classes))


def principal_plane(embeddings: Tensor) -> Callable[[Tensor], Tensor]:
    """The projection from (n, d) to the two axes (n, 2) along which these embeddings vary most; of two, as they are."""
    if embeddings.shape[1] <= 2:
        return lambda points: F.pad(points, (0, 2 - points.shape[1]))
    mean = embeddings.mean(0)
    axes = torch.linalg.svd(embeddings - mean, full_matrices=False).Vh[:2]  # (2 or 1, d)
    return lambda points: F.pad((points - mean) @ axes.T, (0, 2 - len(axes)))
