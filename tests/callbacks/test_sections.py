"""Blocks render themselves, and escape what they are given."""

import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from math import inf, nan

import pytest
import torch
from matplotlib.figure import Figure as Drawing
from PIL import Image

from callbacks import Card, Columns, Figure, Gallery, Listing, Picture, Section, Table, Text
from callbacks.figures import blank_drawing, draw_confusion, draw_curves, to_pixels
from callbacks.reporting.pictures import tile, to_bytes
from callbacks.sections import show

HOSTILE = '<script>alert("1")</script>&\'$\\frac{'


class Balance(HTMLParser):
    """Collects the tags that are opened and closed."""

    void = ("img", "meta", "br", "image")

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag


def parse(html):
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    return parser.seen


def drawing(text):
    figure, axes = blank_drawing(2, 2)
    axes.set_title(text, parse_math=False)
    return figure


def hostile_blocks():
    images = torch.rand(2, 3, 4, 4)
    return [
        Text(HOSTILE),
        Table([HOSTILE], [[HOSTILE]], HOSTILE),
        Picture(images, HOSTILE),
        Gallery(images, [HOSTILE, HOSTILE + "\n" + HOSTILE], HOSTILE),
        Figure(drawing(HOSTILE), HOSTILE),
        Figure(draw_confusion(torch.eye(2, dtype=torch.int64), [HOSTILE, "b"])),
        Figure(draw_curves(HOSTILE, {HOSTILE: [[0, 1.0]], "b": [[0, 1.0]]})),
        Listing(HOSTILE, HOSTILE),
        Columns([Text(HOSTILE)]),
        Card(HOSTILE, HOSTILE, HOSTILE),
    ]


@pytest.mark.parametrize("block", hostile_blocks(), ids=lambda block: type(block).__name__)
def test_everything_is_escaped(block):
    html = block.html()
    assert "script" not in parse(html)
    assert "&lt;script&gt;" in html


def test_text_has_paragraphs():
    assert Text("a\nb\n\nc").html() == "<p>a\nb</p><p>c</p>"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (1.0, "1.000"),
        (0.98333, "0.9833"),
        (1234.0, "1234"),
        (123456.7, "123,457"),
        (1e-7, "1.000e-07"),
        (inf, "inf"),
        (nan, "–"),
        (None, "–"),
        (12345, "12,345"),
        (True, "True"),
        ("1.0", "1.0"),
    ],
)
def test_cells(cell, shown):
    assert show(cell) == shown


def test_columns_of_numbers_are_set_to_the_right():
    html = Table(["name", "value"], [["a", 1.0], ["b", nan]]).html()
    assert html.count("class=number") == 3
    assert html.count("<tr>") == 3


def pictures(html):
    found = re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]+)"', html)
    return [Image.open(BytesIO(base64.b64decode(content))) for content in found]


def test_small_images_keep_every_pixel():
    images = torch.randint(256, (3, 3, 5, 7), dtype=torch.uint8)
    for image, picture in zip(images, pictures(Gallery(images, ["a", "b", "c"]).html()), strict=True):
        assert picture.size == (7, 5)
        assert torch.equal(torch.tensor(picture.getdata()), image.permute(1, 2, 0).reshape(-1, 3))


def test_pictures_that_belong_together_stay_together():
    images, labels = torch.rand(5, 1, 4, 4), list("abcde")
    assert "together" not in Gallery(images, labels).html()
    groups = Gallery(images, labels, together=3).html().split('class="together"')[1:]
    assert [[label for label in labels if f"<b>{label}</b>" in group] for group in groups] == [list("abc"), list("de")]


def test_large_images_become_thumbnails():
    (picture,) = pictures(Gallery(torch.rand(1, 1, 224, 448), ["a"]).html())
    assert picture.size == (192, 96)


def test_a_batch_is_tiled_row_by_row():
    images = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    grid = tile(images, columns=2)
    assert grid.shape == (3, 5, 5)
    assert grid[0, 0].tolist() == [0, 0, 128, 1, 1]
    assert grid[0, 4].tolist() == [2, 2, 128, 128, 128]
    (picture,) = pictures(Picture(images, columns=2).html())
    assert picture.size == (5, 5)


def test_a_file_is_taken_as_it_is():
    stream = BytesIO()
    Image.new("RGB", (3, 2)).save(stream, format="PNG")
    (picture,) = pictures(Picture(stream.getvalue()).html())
    assert picture.size == (3, 2)


def test_pixels():
    values = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, nan]).view(1, 1, 1, 6)
    assert to_bytes(values)[0, 2, 0].tolist() == [0, 0, 128, 255, 255, 0]
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\) or \(N, 3, H, W\), but got \(1, 2, 3, 3\)"):
        to_bytes(torch.zeros(1, 2, 3, 3))


def test_labels_must_fit():
    with pytest.raises(ValueError, match="shorter"):
        Gallery(torch.rand(2, 3, 4, 4), ["one"]).html()


def test_figures_take_the_colours_of_the_page():
    html = Figure(drawing("title"), "caption").html()
    assert html.count("<svg") == 1
    assert "currentColor" in html
    assert "var(--line)" in html
    assert "http" not in html
    assert not re.search(r' id="(figure|axes|text)_', html)


def test_words_of_a_transparent_figure_take_the_colour_of_the_page():
    figure, axes = blank_drawing(2, 2)
    axes.plot([0, 1], label="line")
    axes.set_xlabel("radius")
    axes.legend()
    for word in ("line", "radius"):
        assert re.search(rf"<text[^>]*fill: currentColor[^>]*>{word}</text>", Figure(figure).html())


def test_a_figure_on_its_own_paper_keeps_its_colours():
    paper = Drawing(figsize=(2, 2))
    paper.add_subplot().set_xlabel("radius")
    assert "currentColor" not in Figure(paper).html()


def test_figures_are_black_on_white_elsewhere():
    pixels = to_pixels(drawing("title"), dpi=50)
    assert pixels.shape == (100, 100, 3)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels.min() < 80


def test_slug():
    assert Section("Fooling rate: ε = 8/255", []).slug == "fooling-rate-8-255"
    assert Section("…", []).slug == "section"
