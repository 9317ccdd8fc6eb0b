"""Pixel deflection against counts, distributions and a literal loop."""

import pytest
import torch

from defenses import (
    ActivationMap,
    GaussianSampling,
    PixelDeflection,
    RandomPixel,
    UniformSampling,
    WindowMaximum,
    WindowMean,
    WindowMinimum,
)
from defenses.deflection_modes import Authors, Paper, Window, write
from draws import Streams


class Everywhere(ActivationMap):
    """The same value at every pixel."""

    def __init__(self, value):
        self.value = value

    def __call__(self, images):
        return torch.full((len(images), *images.shape[2:]), self.value)

    def look(self, network, features):
        raise NotImplementedError


class Left(Everywhere):
    """One on the left half, zero on the right."""

    def __call__(self, images):
        maps = torch.zeros(len(images), *images.shape[2:])
        maps[..., : images.shape[3] // 2] = 1
        return maps


@pytest.fixture(autouse=True)
def any_pixels(monkeypatch):
    """Numbers beyond [0, 1] show where a pixel came from."""
    monkeypatch.setattr("defenses.defense.check_pixels", lambda defense, images: None)


def numbered(height, width, channels=3, number=1):
    """Images of which each pixel and channel has a value of its own."""
    return torch.arange(number * channels * height * width, dtype=torch.float64).view(number, channels, height, width)


MODES = ["paper", "authors"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("deflections", "window"), [(0, 5), (1, 5), (40, 3), (400, 10), (200, 0)])
def test_at_most_so_many_pixels_change_and_sources_lie_in_the_window(mode, deflections, window):
    images = numbered(20, 31, number=6)
    deflected = PixelDeflection(deflections, window, mode=mode)(images)
    assert (deflected != images).any(1).sum((1, 2)).max() <= deflections + 2 * (mode == "authors")
    place = deflected.long() - images.long().amin((2, 3), keepdim=True)
    assert 0 <= place.min() <= place.max() < 20 * 31  # within the same channel
    rows, columns = place // 31 - torch.arange(20).view(1, 1, 20, 1), place % 31 - torch.arange(31)
    if mode == "paper":  # the program also reads what was deflected before
        assert max(rows.abs().max(), columns.abs().max()) <= window
    if not deflections or not window:
        assert torch.equal(deflected, images)


def test_channels_move_together_in_the_thesis_and_apart_in_the_program():
    images = numbered(16, 16)
    for mode, together in (("paper", True), ("authors", False)):
        moved = (PixelDeflection(60, 5, mode=mode)(images) != images)[0]
        assert (moved[0] == moved[1]).all() == together


@pytest.mark.parametrize("mode", MODES)
def test_a_map_of_ones_leaves_images_as_they_are(mode, photographs):
    assert torch.equal(PixelDeflection(500, 5, Everywhere(1.0), mode)(photographs), photographs)


@pytest.mark.parametrize("mode", MODES)
def test_only_the_dark_side_of_a_map_is_deflected(mode, photographs):
    changed = PixelDeflection(500, 5, Left(0), mode)(photographs) != photographs
    assert not changed[..., :16].any()
    assert changed[1:, ..., 16:].any()


def test_a_map_stops_its_share_of_draws():
    """Of K draws K (1 - mean M) deflect, in the thesis's reading; the program goes on until K were."""
    images = numbered(64, 64, channels=1, number=200)
    half = Everywhere(0.5)
    changed = {
        mode: (PixelDeflection(100, 30, half, mode)(images) != images).sum((1, 2, 3)).double().mean() for mode in MODES
    }
    assert 47 < changed["paper"] < 51  # a few draws meet the same pixel or choose the pixel itself
    assert 95 < changed["authors"] < 100


def offsets(window, sampling, number=400, size=41):
    """Where sources lie relative to pixels whose window is inside the image, in a window of that apothem."""
    streams = Streams(torch.arange(number))
    rows = columns = torch.full((number, 100), size // 2)
    pick = Window(window, sampling, RandomPixel())
    sources = pick.sources(torch.stack((rows, columns), 1), (size, size), 0, streams.uniform(2, 100, stream=1))
    return (sources // size - size // 2).flatten(), (sources % size - size // 2).flatten()


def test_offsets_are_uniform():
    rows, columns = offsets(3, UniformSampling())
    counts = torch.bincount((rows + 3) * 7 + columns + 3, minlength=49).double()
    chi_square = ((counts - 40_000 / 49) ** 2 / (40_000 / 49)).sum()
    assert 22 < chi_square < 85  # 48 degrees of freedom: 99.9 % of all cases lie within


def test_offsets_are_gaussian_and_cut_off():
    rows, columns = offsets(6, GaussianSampling(0.5))
    normal = torch.distributions.Normal(0.0, 3.0)
    edges = normal.cdf(torch.arange(-6.5, 7.0))
    expected = (edges[1:] - edges[:-1]) / (edges[-1] - edges[0]) * 40_000
    for axis in (rows, columns):
        chi_square = ((torch.bincount(axis + 6, minlength=13) - expected) ** 2 / expected).sum()
        assert chi_square < 33  # 12 degrees of freedom: 99.9 % of all cases
    assert rows.abs().max() == 6


def test_pixels_and_sources_at_borders_are_uniform_over_what_is_there():
    images = numbered(4, 4, channels=1, number=20_000)
    deflected = PixelDeflection(1, 1)(images)
    moved = (deflected != images).flatten(1)
    counts = moved.sum(0).view(4, 4).double() / 20_000
    inside = torch.tensor([[4.0, 6, 6, 4], [6, 9, 9, 6], [6, 9, 9, 6], [4, 6, 6, 4]])
    expected = (1 - 1 / inside) / 16  # a pixel is drawn once in 16 times, and itself once per window
    torch.testing.assert_close(counts, expected.double(), rtol=0, atol=0.007)


@pytest.mark.parametrize(("window", "same"), [(9, False), (10, False), (11, True), (500, True)])
def test_a_window_above_the_smaller_side_is_the_whole_image(window, same):
    images = numbered(10, 25, channels=1, number=300)
    columns = (PixelDeflection(50, window)(images).long() % 250 % 25) - torch.arange(25)
    assert (columns.abs().max() > 20) == same


def test_the_last_write_counts_and_one_of_equal_writes_carries_the_gradient():
    images = torch.arange(6.0).view(1, 1, 2, 3).requires_grad_()
    pixels, places = torch.tensor([[0, 0, 4, 0, 4]]), torch.tensor([[1, 5, 2, 3, 3]])
    moving = torch.tensor([[True, True, True, False, False]])
    new = write(images, images, pixels, places, moving)
    assert new.flatten().tolist() == [5, 1, 2, 3, 2, 5]
    (gradient,) = torch.autograd.grad(
        (new * torch.tensor([1.0, 10, 100, 1000, 1e4, 1e5]).view(1, 1, 2, 3)).sum(), images
    )
    assert gradient.flatten().tolist() == [0, 10, 10100, 1000, 0, 100001]


def test_where_all_draws_move_none_need_be_marked():
    images, generator = torch.rand(3, 2, 5, 4, requires_grad=True), torch.Generator().manual_seed(0)
    pixels, places = torch.randint(20, (2, 3, 60), generator=generator)  # every pixel several times
    weights = torch.rand(images.shape)
    marked, plain = (write(images, images, pixels, places, moving) for moving in (torch.ones(3, 60).bool(), None))
    assert torch.equal(marked, plain)
    gradients = [torch.autograd.grad((new * weights).sum(), images)[0] for new in (marked, plain)]
    torch.testing.assert_close(*gradients)


def test_the_gradient_is_the_index_maps():
    images = torch.rand(3, 2, 12, 13, dtype=torch.float64, requires_grad=True)
    for mode in MODES:
        defense = PixelDeflection(300, 4, mode=mode)
        deflected = defense(images)
        weights = torch.rand_like(images)
        (gradient,) = torch.autograd.grad((deflected * weights).sum(), images)
        origin = (deflected.detach().view(3, 2, -1, 1) == images.detach().view(3, 2, 1, -1)).double()
        torch.testing.assert_close(gradient.flatten(2), (origin * weights.flatten(2).unsqueeze(3)).sum(2))


def literal_paper(image, map_, uniform, pixels, sources):
    """Algorithm 2, with the draws given."""
    new = image.clone()
    for pixel, source, number in zip(pixels, sources, uniform):
        if map_[pixel] < number:
            new.view(len(image), -1)[:, pixel] = image.view(len(image), -1)[:, source]
    return new


def literal_authors(image, targets, sources, maps, uniform, count):
    """The program's loop, with the draws given: all channels in turn until so many were deflected."""
    image, left, draw = image.clone(), count, 0
    flat = image.view(-1)
    while left > 0:
        for _ in range(len(image)):
            if maps[targets[draw] % maps.numel()] <= uniform[draw]:
                flat[targets[draw]] = flat[sources[draw]]
                left -= 1
            draw += 1
    return image


@pytest.mark.parametrize("mapped", [False, True])
def test_the_thesis_mode_is_the_literal_loop(mapped):
    images, streams = torch.rand(5, 3, 9, 11, dtype=torch.float64), Streams(torch.arange(5))
    window = Window(3, UniformSampling(), RandomPixel())
    maps = torch.rand(5, 9, 11, dtype=torch.float64) if mapped else torch.zeros(5, 9, 11, dtype=torch.float64)
    ours = Paper().deflect(images, maps if mapped else None, 200, window, streams)
    draws = streams.uniform(3, 200, stream=0)
    pixels = (draws[:, 0] * 99).long()
    sources = window.sources(torch.stack((pixels // 11, pixels % 11), 1), (9, 11), 0, draws[:, 1:])
    uniform = streams.uniform(200, stream=1)
    for image, mine, *written in zip(images, ours, maps.flatten(1), uniform, pixels.tolist(), sources.tolist()):
        assert torch.equal(mine, literal_paper(image, *written))


@pytest.mark.parametrize("count", [1, 7, 90])
def test_the_authors_mode_is_the_literal_loop(count):
    images, streams = torch.rand(4, 3, 8, 6, dtype=torch.float64), Streams(torch.arange(4))
    maps = torch.rand(4, 8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    window, turns = Window(2, UniformSampling(), RandomPixel()), -(-count // 3)
    ours = Authors().deflect(images, maps, count, window, streams)
    rounds = [Authors()._draw(images, maps, turns, window, streams, round_) for round_ in range(12)]
    targets, sources = (torch.cat([part[each] for part in rounds], 1).flatten(1) for each in (0, 1))
    uniform = torch.cat([streams.uniform(5, turns * 3, stream=round_)[:, 4] for round_ in range(12)], 1)
    for image, mine, *draws, map_, numbers in zip(images, ours, targets, sources, maps, uniform):
        assert torch.equal(mine, literal_authors(image, *draws, map_.flatten(), numbers, count))


def test_the_programs_sources_lie_in_the_window_and_the_channel():
    images, window = torch.rand(4, 3, 8, 6), Window(2, UniformSampling(), RandomPixel())
    targets, sources, _ = Authors()._draw(images, None, 200, window, Streams(torch.arange(4)), 0)
    assert torch.equal(targets // 48, sources // 48)
    assert torch.equal(targets // 48, torch.arange(3).expand_as(targets))
    down, right = sources % 48 // 6 - targets % 48 // 6, sources % 6 - targets % 6
    assert sorted(set(down.flatten().tolist())) == sorted(set(right.flatten().tolist())) == [-2, -1, 0, 1, 2]


def test_the_program_never_reads_the_first_row_and_column():
    images = numbered(8, 8, channels=1, number=400)
    deflected = PixelDeflection(64, 8, mode="authors")(images)
    moved = deflected != images
    place = deflected[moved].long() % 64
    assert (place // 8).min() > 0
    assert (place % 8).min() > 0


@pytest.mark.parametrize("window", [1, 4, 30])
def test_replacements_are_those_of_the_window(window, photographs):
    images = photographs[:3, :, :20, :17].double()
    for replacement, reduce in (
        (WindowMinimum(), torch.amin),
        (WindowMaximum(), torch.amax),
        (WindowMean(), torch.mean),
    ):
        table = replacement.table(images, window)
        for row, column in ((0, 0), (3, 16), (19, 5), (10, 10)):
            rows = slice(max(0, row - window), row + window + 1)
            square = images[:, :, rows, max(0, column - window) : column + window + 1]
            torch.testing.assert_close(table[:, :, row, column], reduce(square, (2, 3)))


@pytest.mark.parametrize(("replacement", "darker"), [("min", True), ("max", False)])
def test_extreme_replacements_make_images_darker_or_brighter(replacement, darker, photographs):
    change = PixelDeflection(300, 5, replacement=replacement)(photographs) - photographs
    assert (change <= 0).all() if darker else (change >= 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"deflections": -1}, "PixelDeflection: deflections=-1 must be at least 0"),
        ({"window": -2}, "window=-2 must be at least 0"),
        ({"mode": "thesis"}, "mode='thesis' is unknown: give one of paper, authors, or an object"),
        ({"sampling": "normal"}, "sampling='normal' is unknown: give one of uniform, gaussian"),
        ({"replacement": "median"}, "replacement='median' is unknown: give one of random, min, max, mean"),
        ({"mode": "authors", "sampling": "gaussian"}, "mode='authors' knows no GaussianSampling.*set sampling to unif"),
        ({"mode": "authors", "replacement": "min"}, "mode='authors' knows no UniformSampling or WindowMinimum"),
    ],
)
def test_refused_in_words(options, message):
    with pytest.raises(ValueError, match=message):
        PixelDeflection(**options)
    with pytest.raises(ValueError, match="width=0 must be above 0"):
        GaussianSampling(0)


def test_what_is_kept_from_inference_serves_gradients():
    defense, images = PixelDeflection(20, 3), torch.rand(2, 3, 23, 29)
    with torch.inference_mode():
        first = defense(images)
    images.requires_grad_()
    again = defense(images)
    again.sum().backward()
    assert torch.equal(again.detach(), first)
    assert images.grad.sum() == images.numel()  # each pixel passes on the gradient of one
