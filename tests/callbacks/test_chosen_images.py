"""A callback looks at the same test images whatever the batches and the ranks, and not at the first ones."""

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from callbacks.chosen_images import ChosenImages, draw
from datamodules import Digits


class Untrained(LightningModule):
    def test_step(self, batch, batch_idx):
        pass


class Look(Callback):
    """Notes the chosen images' labels, which are their places in the test set."""

    def __init__(self, images):
        self.images, self.found = images, []

    def on_test_epoch_start(self, trainer, pl_module):
        self.chosen = ChosenImages(trainer, "Look", self.images)

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.found += batch[1][self.chosen.of_batch(batch_idx, len(batch[1]))].tolist()


class Countdown(IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(1), 0)] * 4)


def look(images, data, **options):
    callback = Look(images)
    trainer = Trainer(accelerator="cpu", logger=False, callbacks=[callback], enable_progress_bar=False, **options)
    trainer.test(Untrained(), data, verbose=False)
    return callback.found


def loader(batch_size, count=100):
    return DataLoader(TensorDataset(torch.zeros(count, 1), torch.arange(count)), batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_a_draw_that_batches_leave_alone(batch_size):
    found = look(30, loader(batch_size))
    assert found == draw(30, 100).nonzero().flatten().tolist()
    assert min(found) < 20
    assert max(found) > 80


def test_none_are_left_out_with_zero_or_more_than_there_are():
    assert look(0, loader(9)) == look(1000, loader(9)) == list(range(100))


def test_drawn_from_those_that_are_tested():
    found = look(10, loader(20), limit_test_batches=2)
    assert len(found) == 10
    assert max(found) < 40


def test_sampler_of_a_datamodule_tells_how_many_images_there_are():
    data = Digits(eval_batch_size=50)
    data.setup("test")
    labels = torch.cat([batch[1] for batch in data.test_dataloader()])
    assert look(90, data) == labels[draw(90, len(labels))].tolist()


def test_a_stream_of_unknown_length_is_refused_unless_all_are_taken():
    stream = DataLoader(Countdown(), batch_size=2)
    assert look(0, stream) == [0] * 4
    with pytest.raises(ValueError, match="set images=0"):
        look(3, stream)
