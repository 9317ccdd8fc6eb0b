"""Pictures of embeddings in the course of training."""

import pytest
import torch
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


def test_frames_survive_a_resumed_run(trainer, digits, tmp_path):
    plot = EmbeddingPlot(frames=3, images=20)
    trainer(plot, ModelCheckpoint(tmp_path, "kept"), max_epochs=2).fit(model(), digits(val_size=1200))
    content = torch.load(tmp_path / "kept.ckpt", weights_only=True)
    (state,) = (state for name, state in content["callbacks"].items() if "EmbeddingPlot" in name)
    resumed = EmbeddingPlot(frames=3, images=20)
    resumed.load_state_dict(state)
    assert torch.equal(resumed.frames[0][0], plot.frames[0][0])


class Clock:
    sanity_checking = False

    class state:
        fn = "fit"

    def __init__(self, epoch, max_epochs):
        self.current_epoch, self.max_epochs = epoch, max_epochs


@pytest.mark.parametrize(
    ("count", "epochs", "expected"),
    [(3, 9, [0, 4, 8]), (6, 3, [0, 1, 2]), (1, 5, [4]), (2, 200, [0, 199])],
)
def test_frames_are_spread_over_the_training(count, epochs, expected):
    taken = []
    for epoch in range(epochs):
        if is_due(Clock(epoch, epochs), count, len(taken)):
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
