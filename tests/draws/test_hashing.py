import torch

from draws import GOLDEN, Streams, hashed, mix


def splitmix64(state):
    """The published generator in plain integers."""
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    z = state
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_the_hash_is_splitmix64():
    assert splitmix64(1234567) == 6457827717110365317  # the published test value
    seeds = [0, 1, 1234567, 2**62, -5]
    ours = mix(torch.tensor(seeds) + GOLDEN)
    assert [value % 2**64 for value in ours.tolist()] == [splitmix64(seed % 2**64) for seed in seeds]


def test_numbers_are_the_generators_own():
    """A stream starts at a hash of its key; from there the published generator goes on."""
    start = splitmix64(77 + 4 * 0x9E3779B97F4A7C15)
    numbers = [splitmix64((start + place * 0x9E3779B97F4A7C15) % 2**64) for place in range(3)]
    ours = hashed(torch.tensor([77]), 3, stream=4)[0]
    assert [value % 2**64 for value in ours.tolist()] == numbers


def test_a_stream_does_not_depend_on_its_neighbours():
    keys = torch.tensor([3, -8, 12])
    whole = Streams(keys).uniform(2, 5, stream=1)
    assert torch.equal(whole[1:2], Streams(keys[1:2]).uniform(2, 5, stream=1))
    assert len(whole.unique()) == 30
