"""What every defence promises: one table, a defence in each row."""

import pytest
import torch

from defenses import BitDepth, Identity, PixelDeflection, Sequence, WaveletDenoise

ROWS = {
    "identity": Identity(),
    "bit_depth": BitDepth(5),
    "pixel_deflection": PixelDeflection(100, 10),
    "pixel_deflection_authors": PixelDeflection(200, 10, mode="authors"),
    "pixel_deflection_mean": PixelDeflection(100, 3, sampling="gaussian", replacement="mean"),
    "wavelets": WaveletDenoise(),
    "wavelets_sure": WaveletDenoise("sym4", "sure", sigma=None, color="rgb"),
    "wavelets_hard": WaveletDenoise("db2", "visu", "hard", units="stretched"),
    "thesis": Sequence([PixelDeflection(100, 10), WaveletDenoise()]),
    "sequence": Sequence([BitDepth(6), PixelDeflection(50, 5), PixelDeflection(50, 5)]),
}
# The mildest setting of each, and how far it may be from the identity (largest difference of a pixel).
MILDEST = {
    "bit_depth": (BitDepth(8), 1 / 500),
    "pixel_deflection": (PixelDeflection(0), 0),
    "wavelets": (WaveletDenoise(sigma=0), 1e-5),
    "wavelets_sure": (WaveletDenoise("sym4", "sure", sigma=0, color="rgb"), 0.02),
    "sequence": (Sequence([Identity()]), 0),
}


@pytest.fixture(params=ROWS)
def defense(request):
    return ROWS[request.param]


def test_shape_range_dtype_and_device_stay(defense, photographs):
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        images = photographs.to(dtype)
        restored = defense(images)
        assert restored.shape == images.shape
        assert restored.dtype == dtype
        assert restored.isfinite().all()
        assert 0 <= restored.min() <= restored.max() <= 1


def test_images_stay_as_they_were(defense, photographs):
    before = photographs.clone()
    defense(photographs)
    assert torch.equal(photographs, before)


def test_a_result_depends_on_image_and_run_alone(defense, photographs):
    state = torch.get_rng_state()
    whole = defense(photographs, run=2)
    assert torch.equal(whole, defense(photographs, run=2))
    assert torch.equal(torch.get_rng_state(), state)
    parts = torch.cat([defense(part, run=2) for part in photographs.split([1, 4, 3])])
    order = torch.tensor([5, 1, 0, 7, 2, 6, 3, 4])
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(defense(photographs[order], run=2), whole[order], rtol=0, atol=1e-6)


def test_memory_format_and_empty_batches(defense, photographs):
    last = defense(photographs.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, defense(photographs), rtol=0, atol=1e-6)
    assert defense(photographs[:0]).shape == (0, 3, 32, 32)


def test_chance_is_where_it_is_said_to_be(defense, photographs):
    first, second = defense(photographs, run=0), defense(photographs, run=1)
    assert torch.equal(first, second) != defense.random
    with torch.random.fork_rng():
        torch.manual_seed(123)
        assert torch.equal(first, defense(photographs, run=0)) != defense.random


def test_gradients_pass(defense, photographs):
    images = photographs[1:3].clone().requires_grad_()
    restored = defense(images)
    assert torch.equal(restored, defense(images.detach()))
    weights = torch.linspace(-1, 1, images.numel()).view_as(images)
    (gradient,) = torch.autograd.grad((restored * weights).sum(), images)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
    if defense.gradient == "identity" and not isinstance(defense, Sequence):
        assert torch.equal(gradient, weights)


def test_inference_mode_and_autocast_change_nothing(defense, photographs):
    outside = defense(photographs)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(defense(photographs), outside)


def test_a_network_saves_nothing_of_it(defense):
    assert not defense.state_dict()
    assert repr(defense).startswith(type(defense).__name__)


@pytest.mark.parametrize("row", MILDEST)
def test_mild_settings_are_close_to_the_identity(row, photographs, large_photographs):
    defense, distance = MILDEST[row]
    for images in (photographs, large_photographs):
        assert (defense(images) - images).abs().max() <= distance


@pytest.mark.parametrize("shape", [(3, 33, 40), (3, 57, 31), (1, 28, 28), (1, 35, 29)])
def test_any_size_and_grey(defense, shape):
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    restored = defense(images)
    assert restored.shape == images.shape
    assert restored.isfinite().all()


def test_a_generator_gives_new_runs(photographs):
    for defense in ROWS.values():
        if not defense.random or isinstance(defense, Sequence):
            continue
        defense.generator = torch.Generator().manual_seed(3)
        try:
            first, second = defense(photographs), defense(photographs)
            defense.generator.manual_seed(3)
            assert torch.equal(defense(photographs), first)
            assert not torch.equal(first, second)
        finally:
            defense.generator = None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_agrees(defense, photographs):
    there = defense(photographs.cuda())
    assert there.is_cuda
    difference = (there.cpu() - defense(photographs)).abs()
    assert (difference > 1e-3).float().mean() < 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: Identity()(x[0]), r"images are torch.float32 of shape \(3, 32, 32\): Identity needs floating-point"),
        (lambda x: BitDepth(4)((x * 255).byte()), "images are torch.uint8.*BitDepth needs.*divide bytes by 255"),
        (lambda x: BitDepth(9), "BitDepth: bits=9 must lie from 1 to 8"),
        (lambda x: Sequence([]), r"Sequence: parts=\[\] is empty"),
    ],
)
def test_refused_in_words(call, message, photographs):
    with pytest.raises(ValueError, match=message):
        call(photographs)
