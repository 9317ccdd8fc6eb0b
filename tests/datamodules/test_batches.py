"""The order of the images, the shards of the ranks and the random integers."""

import pytest
import torch

from datamodules.augmentations import RandomCrop, RandomFlip
from datamodules.batches import EpochSampler, keyed_generator, split_batches


@pytest.mark.parametrize("count", [61, 64, 65, 66, 127, 129])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_index_goes_to_exactly_one_rank_and_all_ranks_take_equally_many_steps(count, world):
    shares = [split_batches(torch.arange(count), 32, rank, world) for rank in range(world)]
    assert sorted(torch.cat([batch for share in shares for batch in share]).tolist()) == list(range(count))
    assert len({len(share) for share in shares}) == 1
    assert all(len(batch) > 0 for share in shares for batch in share)


def test_two_ranks_together_see_the_batches_of_one_process_with_twice_the_size():
    order = torch.randperm(100, generator=keyed_generator(3))
    joint = split_batches(order, 16)
    first, second = (split_batches(order, 8, rank, 2) for rank in range(2))
    for whole, left, right in zip(joint, first, second, strict=True):
        assert torch.equal(whole, torch.cat([left, right]))


def test_fewer_images_than_ranks_are_refused():
    with pytest.raises(ValueError, match="1 images cannot be shared by 2 ranks: set trainer.devices"):
        split_batches(torch.arange(1), 8, 0, 2)


def test_an_epoch_is_a_function_of_seed_and_epoch():
    def drawn(seed, epoch):
        sampler = EpochSampler(50, 8, seed=seed, shuffle=True, augmentations=[RandomCrop(2)])
        sampler.set_epoch(epoch)
        batches, (integers,) = sampler.draw()
        return torch.cat(batches), integers

    for one, other in zip(drawn(1, 4), drawn(1, 4), strict=True):
        assert torch.equal(one, other)
    for changed in (drawn(2, 4), drawn(1, 5)):
        assert not torch.equal(drawn(1, 4)[0], changed[0])
        assert not torch.equal(drawn(1, 4)[1], changed[1])


def test_integers_do_not_depend_on_batch_size_or_ranks():
    augmentations = [RandomCrop(4), RandomFlip()]
    one = EpochSampler(40, 40, shuffle=True, augmentations=augmentations).draw()[1]
    other = EpochSampler(40, 3, shuffle=True, augmentations=augmentations, rank=1, world=2).draw()[1]
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_drop_last_leaves_out_the_incomplete_batch_only():
    assert [len(batch) for batch in EpochSampler(20, 8, drop_last=True).draw()[0]] == [8, 8]
    assert [len(batch) for batch in EpochSampler(5, 8, drop_last=True).draw()[0]] == [5]
    assert len(EpochSampler(20, 8)) == 3
