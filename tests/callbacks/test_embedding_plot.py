"""Pictures of embeddings in the course of training."""

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks import EmbeddingPlot, Report
from callbacks.embedding_figures import draw_frames, principal_plane
from callbacks.embedding_plot import is_due
from callbacks.figures import to_pixels
from criteria import BatchStatistics
from tests.lightning_modules.test_graph_classifier import model


def test_frames_in_the_report_and_in_tensorboard(trainer, digits, folder):
    plot = EmbeddingPlot(frames=3, images=50)
    run = trainer(Report(), plot, max_epochs=5)
    run.fit(model(width=2, normalize=BatchStatistics(2)), digits(val_size=1200))
    assert sorted(plot.frames) == [0, 2, 4]
    embeddings, labels = plot.frames[4]
    assert embeddings.shape == (50, 2)
    assert labels.shape == (50,)
    page = (folder / "report.html").read_text()
    assert "50 validation images, embedded in 2 dimensions." in page
    assert "after epoch 5" in page
    (projector,) = folder.rglob("tensors.tsv")
    assert len(projector.read_text().splitlines()) == 50
    assert len(next(folder.rglob("metadata.tsv")).read_text().splitlines()) == 50
    events = EventAccumulator(str(folder), {"images": 0}).Reload()
    assert [event.step for event in events.Images("val/embeddings")] == [0, 2, 4]


def projected(folder):
    """How many embeddings TensorBoard's projector shows, and whether with their images."""
    (projector,) = folder.rglob("tensors.tsv")
    return len(projector.read_text().splitlines()), (projector.parent / "sprite.png").exists()


def test_the_last_validation_is_drawn_though_the_last_epoch_has_none(trainer, digits, folder):
    plot = EmbeddingPlot(frames=2, images=20)
    trainer(plot, max_epochs=5, check_val_every_n_epoch=2).fit(model(), digits(val_size=1200))
    assert sorted(plot.frames) == [1, 3]
    assert projected(folder) == (20, True)


class Stop(Callback):
    def on_validation_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch == 1


def test_a_training_that_is_stopped_keeps_its_last_frame(trainer, digits, folder):
    plot = EmbeddingPlot(frames=2, images=20)
    trainer(plot, Stop(), max_epochs=10).fit(model(), digits(val_size=1200))
    assert sorted(plot.frames) == [0]
    assert projected(folder) == (20, True)


def test_frames_survive_a_resumed_run(trainer, digits, tmp_path):
    plot = EmbeddingPlot(frames=3, images=20)
    trainer(plot, ModelCheckpoint(tmp_path, "kept"), max_epochs=2).fit(model(), digits(val_size=1200))
    content = torch.load(tmp_path / "kept.ckpt", weights_only=True)
    (state,) = (state for name, state in content["callbacks"].items() if "EmbeddingPlot" in name)
    resumed = EmbeddingPlot(frames=3, images=20)
    resumed.load_state_dict(state)
    assert torch.equal(resumed.frames[0][0], plot.frames[0][0])


def test_a_resumed_training_without_a_new_frame_is_projected_without_images(trainer, digits, folder):
    trainer(EmbeddingPlot(frames=1, images=20), max_epochs=1).fit(model(), digits(val_size=1200))
    for tensors in folder.rglob("tensors.tsv"):
        tensors.unlink()
        (tensors.parent / "sprite.png").unlink()
    resumed = trainer(EmbeddingPlot(frames=1, images=20), max_epochs=2)
    resumed.fit(model(), digits(val_size=1200), ckpt_path=folder / "checkpoints" / "last.ckpt")
    assert projected(folder) == (20, False)


class Clock:
    sanity_checking = False

    class state:
        fn = "fit"

    def __init__(self, epoch, max_epochs, every):
        self.current_epoch, self.max_epochs, self.check_val_every_n_epoch = epoch, max_epochs, every


@pytest.mark.parametrize(
    ("count", "epochs", "every", "expected"),
    [
        (3, 9, 1, [0, 4, 8]),
        (6, 3, 1, [0, 1, 2]),
        (1, 5, None, [4]),
        (2, 200, 1, [0, 199]),
        (3, 10, 3, [2, 5, 8]),
        (1, 10, 3, [8]),
        (2, 2, 3, []),
    ],
)
def test_frames_are_spread_over_the_training(count, epochs, every, expected):
    taken = []
    for epoch in range((every or 1) - 1, epochs, every or 1):
        if is_due(Clock(epoch, epochs, every), count, len(taken)):
            taken.append(epoch)
    assert taken == expected


def test_the_principal_plane():
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(40, 2, generator=generator) @ torch.randn(2, 7, generator=generator)
    points = principal_plane(flat)(flat)
    torch.testing.assert_close((points[0] - points).norm(dim=1), (flat[0] - flat).norm(dim=1))
    assert torch.equal(principal_plane(flat[:, :2])(flat[:, :2]), flat[:, :2])
    assert principal_plane(flat[:, :1])(flat[:, :1]).shape == (40, 2)


def test_many_classes_are_drawn():
    frames = {0: (torch.rand(50, 3), torch.arange(50))}
    assert to_pixels(draw_frames(frames, [str(k) for k in range(100)])).shape[2] == 3


def test_refuses_impossible_options(trainer, digits):
    for options in ({"frames": 0}, {"images": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            EmbeddingPlot(**options)
    with pytest.raises(ValueError, match=r"set trainer\.max_epochs"):
        trainer(EmbeddingPlot(), max_epochs=-1).fit(model(), digits())
