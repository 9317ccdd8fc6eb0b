"""Drawings of filters: what was measured stands in them."""

from itertools import pairwise

import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.image import AxesImage

from callbacks.figures import COLOURS, to_pixels, to_svg
from callbacks.filter_figures import (
    draw_correlation_counts,
    draw_correlations,
    draw_drops,
    draw_removed,
    pairs_of,
    short,
)

HISTORY = [
    {"cycle": 0, "position": 4, "removed": {"a": [1, 3], "c": [0, 1, 2]}},
    {"cycle": 1, "position": 8, "removed": {"a": [], "b": [0]}},
]


def images_of(drawing):
    return [image.get_array() for axes in drawing.axes for image in axes.findobj(AxesImage)]


def correlations(layers, filters=6):
    values = torch.rand(layers, filters, filters, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = (values + values.transpose(1, 2)) / 2
    values.diagonal(dim1=1, dim2=2).fill_(1)
    return {f"layer{k}.conv": values[k] for k in range(layers)}


def test_removed_filters_are_counted():
    drawing = draw_removed(HISTORY, {"a": 4, "b": 8, "c": 3})
    (axes,) = drawing.axes
    (shares,) = images_of(drawing)
    assert shares.tolist() == [[0.5, 0, 1], [0, 0.125, 0]]
    assert [text.get_text() for text in axes.texts] == ["2\n50%", "3\n100%", "1\n12%"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "2"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]


def test_many_layers_have_a_scale_instead_of_numbers():
    layers = {f"layer{k}.conv": 16 for k in range(109)}
    drawing = draw_removed([{"cycle": c, "removed": {"layer7.conv": [1]}} for c in range(28)], layers)
    axes, scale = drawing.axes
    assert not axes.texts
    assert len(axes.get_xticks()) <= 24
    assert scale.get_ylim() == (0, 1)
    assert images_of(drawing)[0].shape == (28, 109)


@pytest.mark.parametrize("layers", [1, 3, 12])
def test_correlations_are_shown_as_they_are(layers):
    values = correlations(layers)
    drawing = draw_correlations(values)
    for shown, expected in zip(images_of(drawing), values.values()):
        assert torch.equal(torch.tensor(shown.tolist(), dtype=torch.float64), expected)
    assert [axes.get_title(loc="left") for axes in drawing.axes[:layers]] == list(values)
    assert len(drawing.axes) == layers + 1


def test_each_pair_is_counted_once():
    values = correlations(1)
    (axes,) = draw_correlation_counts(values, 0.25).axes
    (steps,) = axes.patches
    counts, edges, _ = steps.get_data()
    pairs = [float(values["layer0.conv"][a, b]) for a in range(6) for b in range(a)]
    expected = [sum(low <= pair < high for pair in pairs) for low, high in pairwise(edges)]
    assert counts.tolist() == expected
    assert sum(expected) == 15
    assert sorted(pairs_of(values["layer0.conv"]).tolist()) == sorted(pairs)
    assert [line.get_xdata()[0] for line in axes.lines] == [0.25, 0.3]


def test_drops_are_sorted_and_gains_orange():
    (axes,) = draw_drops({"conv": torch.tensor([0.0, 0.03, -0.01, 0.2])}).axes
    lost, gained = axes.patches
    assert lost.get_data().values.tolist() == pytest.approx([20, 3, 0, 0])
    assert gained.get_data().values.tolist() == pytest.approx([0, 0, 0, -1])
    assert gained.get_facecolor() == to_rgba(COLOURS[1])


def test_names_of_layers_keep_their_end():
    assert short("conv1") == "conv1"
    assert short("denseblock4.denselayer16.conv2") == "…ock4.denselayer16.conv2"
    assert len(short("x" * 25)) == 24


def test_hostile_names_are_escaped_and_every_drawing_can_be_rendered():
    name = "<script>$\\frac{"
    drawings = [
        draw_removed([{"cycle": 0, "removed": {name: [0]}}], {name: 2}),
        draw_correlations({name: torch.eye(2)}),
        draw_correlation_counts({name: torch.eye(2)}, 0.2),
        draw_drops({name: torch.zeros(2)}),
    ]
    for drawing in drawings:
        assert "<script" not in to_svg(drawing, "")
        assert to_pixels(drawing, dpi=40).shape[2] == 3
