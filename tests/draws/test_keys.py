import pytest
import torch

from draws import GOLDEN, keys_of, mix, mixed_sum, weighted_sum


@pytest.mark.parametrize("digest", [mixed_sum, weighted_sum])
def test_seed_and_pixels_decide(digest):
    images = torch.rand(6, 3, 4, 4)
    first = keys_of(images, None, digest)
    assert torch.equal(first[[4, 1]], keys_of(images[[4, 1]], None, digest))
    assert torch.equal(first, keys_of(images.to(memory_format=torch.channels_last), None, digest))
    with torch.random.fork_rng():
        torch.manual_seed(2**63 + 17)
        assert len(torch.cat([first, keys_of(images, None, digest)]).unique()) == 12


@pytest.mark.parametrize("digest", [mixed_sum, weighted_sum])
def test_similar_images_have_keys_of_their_own(digest):
    generator = torch.Generator().manual_seed(0)
    for levels in (2, 256):
        images = torch.randint(0, levels, (20_000, 1, 11, 11), generator=generator).float() / (levels - 1)
        assert len(keys_of(images, None, digest).unique()) == 20_000
    one_bright_pixel = torch.eye(784).view(-1, 1, 28, 28)[::2]
    assert len(keys_of(one_bright_pixel, None, digest).unique()) == 392
    nearly_equal = torch.rand(1, 3, 9, 9) + torch.linspace(0, 1e-3, 1000).view(-1, 1, 1, 1)
    assert len(keys_of(nearly_equal, None, digest).unique()) == 1000

    large = torch.rand(1, 3, 75, 75) + torch.linspace(0, 1e-3, 100).view(-1, 1, 1, 1)
    assert len(keys_of(large, None, digest).unique()) == 100


@pytest.mark.parametrize(("shape", "apart"), [((1, 5, 5), 1), ((3, 8, 8), 1), ((1, 63, 65), 1), ((3, 75, 75), 9)])
def test_the_weighted_sum_is_that_of_pairs_in_stretches_where_images_are_large(shape, apart):
    images = torch.rand(2, *shape)
    for image, key in zip(images, weighted_sum(images.flatten(1)).tolist()):
        bits = image.numpy().tobytes()
        if apart > 1:
            starts = range(0, len(bits) - 64 * 4 + 1, apart * 64 * 4)
            bits = b"".join(bits[start : start + 64 * 4] for start in starts)
        bits += bytes(-len(bits) % 8)
        pairs = [int.from_bytes(bits[place : place + 8], "little") for place in range(0, len(bits), 8)]
        weights = (mix(torch.arange(1, len(pairs) + 1) * GOLDEN) | 1).tolist()
        assert key % 2**64 == sum(pair * weight for pair, weight in zip(pairs, weights)) % 2**64


@pytest.mark.parametrize("side", [96, 128, 224, 256, 299])
def test_every_column_of_a_large_image_is_read_somewhere(side):
    one_column = 0.3 * torch.eye(side).view(side, 1, 1, side).expand(side, 3, side, side)
    assert len(keys_of(one_column, None, weighted_sum).unique()) == side


@pytest.mark.parametrize("digest", [mixed_sum, weighted_sum])
@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 75, 75)])
def test_no_images_have_no_keys(shape, digest):
    assert keys_of(torch.rand(0, *shape), None, digest).shape == (0,)


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 8, 8), (3, 75, 75)])
def test_where_images_lie_in_memory_does_not_matter(shape):
    images = torch.rand(4, *shape)
    memory = torch.zeros(images.numel() + 1)
    memory[1:] = images.flatten()
    assert torch.equal(keys_of(memory[1:].view_as(images), None, weighted_sum), keys_of(images, None, weighted_sum))


def test_weights_made_in_inference_mode_serve_training():
    with torch.inference_mode():
        first = keys_of(torch.ones(1, 1, 7, 9), None, weighted_sum)
    images = torch.ones(1, 1, 7, 9, requires_grad=True)
    assert torch.equal(keys_of(images, None, weighted_sum), first)
