"""Both loaders give the same batches, and continue where they stopped."""

import pytest
import torch

from datamodules.augmentations import RandomCrop, RandomFlip
from datamodules.batches import EpochSampler, keyed_generator
from datamodules.loaders import ResidentLoader, WorkerLoader
from datamodules.sources import TensorSource


def make_loader(kind, count=30, workers=0):
    images = torch.randint(256, (count, 3, 8, 8), dtype=torch.uint8, generator=keyed_generator(7))
    source = TensorSource(images, torch.arange(count))
    sampler = EpochSampler(count, 8, seed=5, shuffle=True, augmentations=[RandomCrop(2), RandomFlip()])
    if kind is ResidentLoader:
        return ResidentLoader(source.images, source.labels, sampler)
    return WorkerLoader(source, sampler, workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_worker_path_gives_the_pixels_of_the_resident_path(workers):
    for ours, theirs in zip(make_loader(ResidentLoader), make_loader(WorkerLoader, workers=workers), strict=True):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])


def test_batches_are_lists_of_unit_range_floats():
    images, labels = next(iter(make_loader(ResidentLoader)))
    assert images.dtype == torch.float32
    assert 0 <= images.min() <= images.max() <= 1
    assert labels.dtype == torch.int64
    assert isinstance(next(iter(make_loader(ResidentLoader))), list)


@pytest.mark.parametrize("kind", [ResidentLoader, WorkerLoader])
def test_resumes_behind_the_batches_that_were_handed_out(kind):
    whole = [labels.tolist() for _, labels in make_loader(kind)]
    interrupted, resumed = make_loader(kind), make_loader(kind)
    batches = iter(interrupted)
    for _ in range(2):
        next(batches)
    resumed.load_state_dict(interrupted.state_dict())
    assert [labels.tolist() for _, labels in resumed] == whole[2:]
    resumed.sampler.set_epoch(1)
    assert len(list(resumed)) == len(whole)


def test_state_at_the_end_of_an_epoch_starts_the_next_one():
    finished, resumed = make_loader(ResidentLoader), make_loader(ResidentLoader)
    list(finished)
    resumed.load_state_dict(finished.state_dict())
    resumed.sampler.set_epoch(1)
    assert len(list(resumed)) == 4


def test_an_epoch_that_was_cut_short_does_not_shorten_the_next_one():
    loader = make_loader(ResidentLoader)
    next(iter(loader))
    assert len(list(loader)) == 4
    next(iter(loader))
    resumed = make_loader(ResidentLoader)
    resumed.load_state_dict(loader.state_dict())
    resumed.sampler.set_epoch(1)
    assert len(list(resumed)) == 4


def test_the_resident_images_stay_as_they_are():
    loader = make_loader(ResidentLoader)
    before = loader.images.clone()
    for images, _ in loader:
        images.zero_()
    assert torch.equal(loader.images, before)
