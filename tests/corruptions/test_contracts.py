"""What every corruption promises: one table, a corruption in each row."""

from itertools import pairwise

import pytest
import torch

from corruptions import COMMON, EXTRA, SEVERITIES, CifarSeverities, ImageNetSeverities, corruption
from corruptions.draws import Draws

ALL = tuple(COMMON | EXTRA)
# Severities whose mean change of a pixel must grow from one to the next. The published tables are not monotone
# everywhere: behind glass a stronger blur hides some of the moves, more frost dims the image that it brightens, a
# lighter fog may be the rougher one, and saturation goes down before it goes up. The elastic map, which moves less but
# ripples more, is measured by its ripples.
GROWING = {
    CifarSeverities: dict.fromkeys(ALL, (1, 2, 3, 4, 5))
    | {"glass_blur": (1, 4), "frost": (1, 2, 3), "saturate": (3, 4, 5), "spatter": (1, 2, 3)},  # then mud
    ImageNetSeverities: dict.fromkeys(ALL, (1, 2, 3, 4, 5))
    | {"glass_blur": (1, 3, 5), "frost": (1, 2, 3), "fog": (1, 2, 3, 5), "saturate": (3, 4, 5), "spatter": (1, 2, 3)}
    | {"pixelate": (1, 2, 3, 4)},  # then 8 pixels, which divide the photographs' 32
}


def test_fifteen_count_and_four_are_extra():
    assert len(COMMON) == 15
    assert len(EXTRA) == 4
    assert list(COMMON)[:3] == ["gaussian_noise", "shot_noise", "impulse_noise"]


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", ALL)
def test_bytes_stay_bytes_and_floats_agree_with_them(name, severity, photographs):
    images, indices = photographs[:4], torch.arange(4)
    corrupted = corruption(name, severity).apply(images, indices)
    assert corrupted.shape == images.shape
    assert corrupted.dtype == torch.uint8
    assert not torch.equal(corrupted, images)
    for dtype in (torch.float32, torch.float64):
        floats = corruption(name, severity).apply(images.to(dtype) / 255, indices)
        assert floats.dtype == dtype
        assert torch.equal(floats, corrupted.to(dtype) / 255)


@pytest.mark.parametrize("severity", [2, 3, 5])
@pytest.mark.parametrize("name", ALL)
def test_a_result_depends_on_seed_and_index_alone(name, severity, photographs):
    images, indices = photographs, torch.arange(100, 100 + len(photographs))
    noise = corruption(name, severity)
    whole = noise.apply(images, indices, seed=3)
    assert torch.equal(whole, noise.apply(images, indices, seed=3))
    parts = [noise.apply(*part, seed=3) for part in zip(images.split([1, 13, 10]), indices.split([1, 13, 10]))]
    assert torch.equal(whole, torch.cat(parts))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    assert torch.equal(whole[order], noise.apply(images[order], indices[order], seed=3))


def test_parts_within_a_batch_change_nothing(photographs, monkeypatch):
    indices = torch.arange(len(photographs))
    whole = [corruption(name, 5).apply(photographs, indices) for name in ALL]
    monkeypatch.setattr("corruptions.synthetic.CACHE", 5 * 3072)
    for name, expected in zip(ALL, whole):
        assert torch.equal(corruption(name, 5).apply(photographs, indices), expected), name


RANDOM = sorted(
    {"gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "glass_blur", "motion_blur"}
    | {"snow", "frost", "fog", "elastic_transform", "spatter"}
)


@pytest.mark.parametrize("name", ALL)
def test_randomness_is_where_it_should_be(name, photographs):
    same = photographs[5:6].expand(8, -1, -1, -1)
    first, second = (corruption(name, 3).apply(same, torch.arange(8), seed=seed) for seed in (0, 1))
    assert (len(first.unique(dim=0)) > 4) == (name in RANDOM)  # directions of motion are whole pixels
    assert torch.equal(first, second) == (name not in RANDOM)


@pytest.fixture(scope="module", params=[CifarSeverities, ImageNetSeverities])
def scale(request):
    return request.param()


@pytest.fixture(scope="module")
def changes(scale, photographs):
    """By corruption, the mean change of a pixel at severities 1 to 5."""
    indices = torch.arange(len(photographs))

    def change(name, severity):
        corrupted = corruption(name, severity, scale).apply(photographs, indices)
        return (corrupted.int() - photographs).abs().double().mean().item()

    return {name: [change(name, severity) for severity in SEVERITIES] for name in ALL}


@pytest.mark.parametrize("name", sorted(set(ALL) - {"elastic_transform"}))
def test_severities_grow(name, scale, changes):
    growing = [changes[name][severity - 1] for severity in GROWING[type(scale)][name]]
    assert all(milder < stronger for milder, stronger in pairwise(growing))
    assert min(changes[name]) > 0.5


def test_severities_grow_on_average(scale, changes):
    means = torch.tensor([changes[name] for name in COMMON]).mean(0)
    assert (means.diff() > 0).all()
    ends = {CifarSeverities: [8.3, 21.0], ImageNetSeverities: [20.2, 39.3]}[type(scale)]
    assert means[[0, -1]].tolist() == pytest.approx(ends, rel=0.03)


def test_the_elastic_map_ripples_more_and_more(scale):
    size = {CifarSeverities: 32, ImageNetSeverities: 224}[type(scale)]
    columns, indices = torch.arange(size).float().expand(8, 1, size, size), torch.arange(8)
    ripples = []
    for severity in SEVERITIES:
        moved = corruption("elastic_transform", severity, scale).corrupt(columns, Draws.keyed(0, "", 0, indices))
        middle = moved[..., size // 4 : -(size // 4), size // 4 : -(size // 4)]  # where few borders are mirrored
        # How far a pixel comes from the midpoint of where its fifth neighbours come from: affine maps keep midpoints.
        ripples.append((middle[..., 5:-5] - (middle[..., 10:] + middle[..., :-10]) / 2).abs().mean().item())
    assert all(milder < stronger for milder, stronger in pairwise(ripples))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 8), (3, 20, 33), (1, 5, 7)])
@pytest.mark.parametrize("scale", [None, ImageNetSeverities()])
@pytest.mark.parametrize("name", ALL)
def test_any_size_and_grey(name, scale, shape):
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for severity in (1, 5):
        corrupted = corruption(name, severity, scale).apply(images, torch.arange(3))
        assert corrupted.shape == images.shape
        assert corrupted.dtype == torch.uint8


@pytest.mark.parametrize("name", ["brightness", "frost", "fog", "jpeg_compression", "saturate", "zoom_blur"])
def test_grey_pictures_are_corrupted_like_equal_channels(name, photographs):
    grey = photographs[:4, 1:2]
    one = corruption(name, 2).apply(grey, torch.arange(4))
    three = corruption(name, 2).apply(grey.expand(-1, 3, -1, -1), torch.arange(4))
    difference = three.double().mean(1, keepdim=True) - one
    assert difference.abs().max() <= (12 if name == "frost" else 3)  # the ice has a tint


@pytest.mark.parametrize("name", ALL)
def test_memory_format_default_precision_and_empty_batches(name, photographs):
    noise, indices = corruption(name, 2), torch.arange(3)
    images = photographs[:3].clone()
    images[2] = torch.tensor([10, 100, 130]).view(3, 1, 1)  # flat, where a rounding decides what is cut off
    contiguous = noise.apply(images, indices)
    assert torch.equal(noise.apply(images.to(memory_format=torch.channels_last), indices), contiguous)
    torch.set_default_dtype(torch.bfloat16)  # as Lightning's precision=bf16-true does
    try:
        assert torch.equal(noise.apply(images, indices), contiguous)
    finally:
        torch.set_default_dtype(torch.float32)
    assert noise.apply(photographs[:0], indices[:0]).shape == (0, 3, 32, 32)


def test_images_stay_as_they_were(photographs):
    before = photographs.clone()
    for name in ALL:
        corruption(name, 4).apply(photographs, torch.arange(len(photographs)))
    assert torch.equal(before, photographs)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ALL)
def test_a_gpu_gives_the_same_bytes(name, photographs):
    indices = torch.arange(len(photographs))
    here = corruption(name, 3).apply(photographs, indices)
    there = corruption(name, 3).apply(photographs.cuda(), indices.cuda())
    assert there.is_cuda
    assert (here != there.cpu()).double().mean() < 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, i: corruption("blizzard", 1), "no corruption 'blizzard': choose from gaussian_noise, "),
        (lambda x, i: corruption("snow", 6), "severity=6 must be an integer from 1"),
        (lambda x, i: corruption("snow", 0), "severity=0"),
        (lambda x, i: corruption("snow", 1.0), "severity=1.0"),
        (lambda x, i: corruption("snow", 1).apply(x[0], i), r"images are torch.uint8 of shape \(3, 32, 32\)"),
        (lambda x, i: corruption("snow", 1).apply(x.long(), i), "images are torch.int64"),
        (lambda x, i: corruption("snow", 1).apply(x, i[1:]), r"indices are torch.int64 of shape \(23,\) for 24 images"),
        (lambda x, i: corruption("snow", 1).apply(x, i.float()), "indices are torch.float32"),
        (lambda x, i: corruption("fog", 1).apply(x.float(), i), "images hold pixels from 0 to 255"),
        (lambda x, i: corruption("fog", 1).apply(x / torch.nan, i), "images hold pixels from nan"),
        (lambda x, i: corruption("snow", 1).apply(x[:, :2], i), "images have 2 channels: snow needs 3"),
    ],
)
def test_refused_in_words(call, message, photographs):
    with pytest.raises(ValueError, match=message):
        call(photographs, torch.arange(24))
