"""What a test looked like: counted exactly, shown deterministically."""

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, TensorDataset

from callbacks import Figure, Predictions, Report
from callbacks.predictions import class_names, class_table, confusion_blocks, pair_table
from callbacks.reporting.samples import describe, drop_right, judge, pad, rank_mistakes


class Fixed(LightningModule):
    """Looks the scores of an image up by its first pixel, which holds its number."""

    def __init__(self, scores, returned=True):
        super().__init__()
        self.scores, self.returned, self.forwards = scores, returned, 0

    def forward(self, images):
        self.forwards += 1
        return self.scores[(images[:, 0, 0, 0] * 1000).round().long()]

    def test_step(self, batch, batch_idx):
        scores = self(batch[0])
        return {"scores": scores} if self.returned else None


def batches(labels, batch_size):
    images = torch.zeros(len(labels), 3, 4, 4)
    images[:, 0, 0, 0] = torch.arange(len(labels)) / 1000
    return DataLoader(TensorDataset(images, labels), batch_size, collate_fn=as_list)


def as_list(pairs):
    return [torch.stack(part) for part in zip(*pairs, strict=True)]


def run(scores, labels, batch_size=7, samples=5, returned=True):
    predictions = Predictions(samples)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    model = Fixed(scores, returned)
    Trainer(accelerator="cpu", callbacks=[predictions], **options).test(
        model, batches(labels, batch_size), verbose=False
    )
    return predictions, model


@pytest.fixture
def scored():
    """Scores of 60 images in 6 classes, rounded so that several are equally confident, and labels."""
    generator = torch.Generator().manual_seed(1)
    scores = torch.randint(-2, 3, (60, 6), generator=generator).float()
    return scores, torch.randint(6, (60,), generator=generator)


def test_the_matrix_equals_that_of_scikit_learn(scored):
    scores, labels = scored
    predictions, _ = run(scores, labels)
    expected = confusion_matrix(labels, scores.argmax(1), labels=range(6))
    assert predictions.counts.tolist() == expected.tolist()


@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_samples_are_those_of_brute_force(scored, batch_size):
    scores, labels = scored
    predictions, _ = run(scores, labels, batch_size)
    confidence, taken = scores.double().softmax(1).max(1)
    wrong = [k for k in range(60) if taken[k] != labels[k]]
    wrong.sort(key=lambda k: (-confidence[k].item(), k))
    numbers = (predictions.mistakes.images[:, 0, 0, 0] * 1000).round().tolist()
    assert numbers == wrong[:5]
    assert predictions.mistakes.labels.tolist() == labels[wrong[:5]].tolist()
    assert predictions.mistakes.confidence.tolist() == confidence[wrong[:5]].tolist()
    assert (predictions.first.images[:, 0, 0, 0] * 1000).round().tolist() == [0, 1, 2, 3, 4]


def test_a_module_that_returns_no_scores_is_asked_again(scored):
    returned, once = run(*scored)
    asked, twice = run(*scored, returned=False)
    assert torch.equal(returned.counts, asked.counts)
    assert twice.forwards == 2 * once.forwards


def test_near_certain_mistakes_still_differ():
    scores = torch.tensor([[40.0, 0.0], [41.0, 0.0], [42.0, 0.0]]) / 1.5
    samples = judge(torch.rand(3, 3, 2, 2), torch.ones(3, dtype=torch.int64), scores)
    assert samples.confidence.float().tolist() == [1.0, 1.0, 1.0]
    assert torch.equal(rank_mistakes(samples, 3).confidence, samples.confidence.flip(0))


def test_few_mistakes():
    scores = torch.eye(4)
    predictions, _ = run(scores, torch.tensor([0, 1, 2, 0]))
    assert predictions.mistakes.labels.tolist() == [0]
    assert len(predictions.first) == 4
    predictions, _ = run(scores, torch.arange(4))
    (_, section) = predictions.report_sections(Trainer(logger=False, accelerator="cpu"), Fixed(scores))
    assert "No image was misclassified." in section.html()


def test_no_samples(scored):
    predictions, _ = run(*scored, samples=0)
    sections = predictions.report_sections(Trainer(logger=False, accelerator="cpu"), Fixed(scored[0]))
    assert [section.title for section in sections] == ["Confusion matrix"]
    with pytest.raises(ValueError, match="samples=-1 must be 0 or more"):
        Predictions(-1)


def test_nothing_before_a_test(classifier, trainer, digits):
    predictions = Predictions()
    runner = trainer(predictions)
    runner.fit(classifier(), datamodule=digits())
    assert predictions.report_sections(runner, runner.lightning_module) == []


def test_samples_are_padded_with_right_ones():
    samples = pad(judge(torch.rand(2, 3, 4, 5), torch.tensor([0, 1]), torch.eye(2).flip(0)), 4)
    assert samples.images.shape == (4, 3, 4, 5)
    assert len(drop_right(samples)) == 2


def test_descriptions():
    scores = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    samples = judge(torch.rand(2, 3, 2, 2), torch.tensor([0, 1]), scores)
    assert describe(samples, ["cat", "dog"]) == ["✓ cat\n88.1 % sure", "✗ cat\nis dog, 50.0 % sure"]


class Whole(Callback):
    """Asserts inside the workers that each image was counted once, and which mistakes were kept."""

    def __init__(self, expected, confidence):
        self.expected, self.confidence = expected, confidence

    def on_test_end(self, trainer, pl_module):
        (predictions,) = (callback for callback in trainer.callbacks if isinstance(callback, Predictions))
        assert trainer.world_size == 2
        assert torch.equal(predictions.counts, self.expected)
        assert torch.allclose(predictions.mistakes.confidence, self.confidence)


def test_two_ranks_count_each_image_once(classifier, trainer, digits):
    model = classifier()
    alone = Predictions(4)
    trainer(alone).test(model, datamodule=digits(), verbose=False)
    assert alone.counts.sum() == 360
    whole = Whole(alone.counts, alone.mistakes.confidence)
    options = {"devices": 2, "strategy": "ddp_fork", "use_distributed_sampler": False}
    data = digits(eval_batch_size=50)
    trainer(Predictions(4), Report(), whole, **options).test(model, datamodule=data, verbose=False)


def test_tensorboard(classifier, trainer, digits, folder):
    trainer(Predictions(4)).test(classifier(), datamodule=digits(), verbose=False)
    events = EventAccumulator(str(folder)).Reload()
    assert set(events.Tags()["images"]) == {"test/predictions", "test/mistakes", "test/confusion_matrix"}
    (grid,) = events.Images("test/predictions")
    assert (grid.width, grid.height) == (4 * 32 + 3, 32)


def test_names_of_classes(trainer, digits):
    runner = trainer()
    assert class_names(runner, 3) == ["0", "1", "2"]
    runner.datamodule = digits()
    assert class_names(runner, 10) == list("0123456789")
    assert class_names(runner, 11)[-1] == "10"


@pytest.mark.parametrize("size", [2, 12, 13, 31, 100, 101, 1000])
def test_many_classes(size):
    counts = torch.eye(size, dtype=torch.int64) * 9
    counts[1, 0] = 3
    blocks = confusion_blocks(counts, [f"class {k}" for k in range(size)])
    html = "".join(block.html() for block in blocks)
    assert ("<svg" in html) == (size <= 100)
    assert (">9</text>" in html) == (size <= 30)
    assert "<td>class 1</td><td>class 0</td><td class=number>3</td><td class=number>0.2500</td>" in html
    assert len(html) < 500_000


def test_a_matrix_of_two_classes_has_its_numbers():
    block, *_ = confusion_blocks(torch.tensor([[5, 1], [0, 7]]), ["real", "fake"])[0].blocks
    assert isinstance(block, Figure)
    html = block.html()
    assert [f">{count}</text>" in html for count in (5, 1, 7)] == [True] * 3
    assert "1 of 13 images lie off the diagonal" in html


def test_rows_of_classes():
    counts = torch.tensor([[3, 1, 0], [2, 2, 0], [0, 0, 0]])
    rows = class_table(counts, "abc").rows
    assert rows[0][:3] == ["a", 4, 0.75]
    assert rows[0][4] == pytest.approx(3 / 5)
    assert rows[2][:4] == ["c", 0, None, ""]
    assert rows[2][4] != rows[2][4]  # never predicted: undefined
    assert pair_table(counts, "abc").rows == [["b", "a", 2, 0.5], ["a", "b", 1, 0.25]]


def test_the_worst_of_many_classes():
    counts = torch.diag(torch.arange(1, 41))
    counts[:, 0] += 5
    rows = class_table(counts, [str(k) for k in range(40)]).rows
    assert [row[0] for row in rows] == [str(k) for k in range(1, 21)]
