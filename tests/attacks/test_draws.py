import pytest
import torch

from attacks.draws import Draws, draws_of


def test_uniform_numbers_are_uniform():
    numbers = Draws(torch.arange(200)).uniform(1000, stream=3)
    assert 0 < numbers.min() < 1e-4
    assert 1 - 1e-4 < numbers.max() < 1
    counts = torch.histc(numbers, 50, 0, 1)
    chi_square = ((counts - 4000) ** 2 / 4000).sum()
    assert 20 < chi_square < 90  # 49 degrees of freedom: 99.9 % of all cases lie within
    rows = numbers - 0.5
    lag = (rows[:, 1:] * rows[:, :-1]).mean() * 12
    across = (rows[1:] * rows[:-1]).mean() * 12
    assert max(abs(lag), abs(across)) < 0.01  # 4.5 standard deviations


def test_normal_numbers_are_normal():
    numbers = Draws(torch.arange(200)).normal(1000, stream=0)
    assert numbers.isfinite().all()
    assert abs(numbers.mean()) < 0.01
    assert abs(numbers.var() - 1) < 0.015
    assert abs((numbers**4).mean() - 3) < 0.1


def test_every_image_and_stream_has_its_own():
    draws = Draws(torch.tensor([7, 8]))
    streams = torch.cat([draws.uniform(50, stream) for stream in range(5)])
    assert len(streams.unique(dim=0)) == 10
    torch.testing.assert_close(draws[torch.tensor([1])].uniform(50, 2), draws.uniform(50, 2)[1:], rtol=0, atol=0)


def test_without_a_generator_seed_and_pixels_decide():
    images = torch.rand(6, 3, 4, 4)
    state = torch.get_rng_state()
    first = draws_of(images, None).keys
    assert torch.equal(first, draws_of(images, None).keys)
    assert torch.equal(first[[4, 1]], draws_of(images[[4, 1]], None).keys)
    assert torch.equal(first, draws_of(images.to(memory_format=torch.channels_last), None).keys)
    assert len(first.unique()) == 6
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(2**63 + 17)
        assert not torch.equal(first, draws_of(images, None).keys)


def test_a_generator_gives_new_numbers_whatever_the_batches():
    images = torch.rand(7, 3, 4, 4)
    generator = torch.Generator().manual_seed(5)
    whole = draws_of(images, generator).keys
    again = draws_of(images, generator).keys
    generator.manual_seed(5)
    parts = torch.cat([draws_of(part, generator).keys for part in images.split([1, 4, 2])])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, again)


def test_a_generator_of_another_device_is_refused():
    class OnGpu:
        device = torch.device("cuda")

    with pytest.raises(ValueError, match="generator lives on cuda.*give a CPU generator"):
        draws_of(torch.rand(1, 3, 4, 4), OnGpu())
