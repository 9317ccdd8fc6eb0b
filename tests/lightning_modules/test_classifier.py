"""The classifier's figures, schedules, checks and checkpoints."""

import pytest
import torch
from lightning import Callback, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from datamodules import Digits, RandomCrop
from lightning_modules import Classifier
from networks import VanillaConvNet

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Small(nn.Module):
    """A network with batch normalisation and dropout, quick enough for a test."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2)
        )
        self.linear = nn.Linear(4 * 64, num_classes)

    def forward(self, images):
        return self.linear(self.layers(images))


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def list_batches(batch):
    images, labels = zip(*batch, strict=True)
    return [torch.stack(images), torch.stack(labels)]


def loader(images, labels):
    return DataLoader(TensorDataset(images, labels), batch_size=4, collate_fn=list_batches)


def test_figures_equal_a_plain_evaluation():
    seed_everything(0)
    model, data = Classifier(Small()), Digits()
    (figures,) = Trainer(**QUIET).test(model, data, verbose=False)
    source = data.sources["test"]
    with torch.no_grad():
        scores = model.eval()(source.images.float() / 255)
    loss = nn.functional.cross_entropy(scores.double(), source.labels)
    among_five = (scores.argsort(dim=1, descending=True)[:, :5] == source.labels[:, None]).any(1)
    assert figures["test/acc"] == pytest.approx((scores.argmax(1) == source.labels).float().mean().item(), abs=1e-7)
    assert figures["test/top5"] == pytest.approx(among_five.float().mean().item(), abs=1e-7)
    assert figures["test/loss"] == pytest.approx(loss.item(), rel=1e-6)


def test_figures_do_not_depend_on_the_batch_size():
    model = Classifier(Small())
    one, other = (Trainer(**QUIET).test(model, Digits(eval_batch_size=n), verbose=False)[0] for n in (7, 360))
    assert one["test/acc"] == other["test/acc"]
    assert one["test/loss"] == pytest.approx(other["test/loss"], rel=1e-5)


def test_the_first_validation_counts_every_image():
    counted = []

    class Count(Callback):
        def on_validation_epoch_end(self, trainer, pl_module):
            counted.append(int(pl_module.val_tally.counts[3]))

    Trainer(max_epochs=2, limit_train_batches=1, callbacks=[Count()], **QUIET).fit(
        Classifier(Small(), optimizer=sgd), Digits(eval_batch_size=50)
    )
    assert counted == [100, 180, 180]  # the sanity check before training takes two batches


def test_it_learns_digits():
    seed_everything(0)
    trainer = Trainer(max_epochs=4, **QUIET)
    trainer.fit(Classifier(Small(), optimizer=sgd), Digits())
    assert trainer.callback_metrics["val/acc"] > 0.8


class LearningRates(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize(("by_step", "expected"), [(False, [1, 1, 1, 0.5, 0.5, 0.5]), (True, [1, 0.5, 0.25, 0.125])])
def test_schedules_by_epoch_and_by_step(by_step, expected):
    rates = LearningRates()
    model = Classifier(
        Small(),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
        schedule_by_step=by_step,
    )
    Trainer(max_epochs=2, limit_train_batches=3, callbacks=[rates], **QUIET).fit(model, Digits())
    assert rates.seen[: len(expected)] == expected


class KeepCheckpoint(Callback):
    def on_train_end(self, trainer, pl_module):
        trainer.save_checkpoint("kept.ckpt")


def test_a_checkpoint_holds_plain_data_only():
    model = Classifier(Small(), optimizer=sgd)
    Trainer(max_epochs=1, limit_train_batches=2, callbacks=[KeepCheckpoint()], **QUIET).fit(model, Digits())
    content = torch.load("kept.ckpt", weights_only=True)
    assert content["hyper_parameters"] == {"schedule_by_step": False}
    restored = Classifier.load_from_checkpoint("kept.ckpt", network=Small(), weights_only=True)
    assert torch.equal(restored.network.linear.weight, model.network.linear.weight)


def test_a_checkpoint_of_another_architecture_is_refused_in_one_sentence():
    model = Classifier(Small(), optimizer=sgd)
    Trainer(max_epochs=1, limit_train_batches=2, callbacks=[KeepCheckpoint()], **QUIET).fit(model, Digits())
    with pytest.raises(
        ValueError, match="the checkpoint does not fit this model: .*linear.weight.*set num_classes=10"
    ) as caught:
        Trainer(**QUIET).test(Classifier(Small(num_classes=7)), Digits(), ckpt_path="kept.ckpt")
    assert "\n" not in str(caught.value)


def test_label_smoothing_is_the_criterions():
    smooth = Classifier(Small(), nn.CrossEntropyLoss(label_smoothing=0.5))
    plain = Classifier(smooth.network)
    one, other = (Trainer(**QUIET).test(model, Digits(), verbose=False)[0] for model in (smooth, plain))
    assert one["test/acc"] == other["test/acc"]
    assert one["test/loss"] != other["test/loss"]


IMAGES, LABELS = torch.rand(8, 3, 32, 32), torch.arange(8)


def with_nan():
    images = IMAGES.clone()
    images[6, 0, 0, 0] = torch.nan
    return images


@pytest.mark.parametrize(
    ("network", "images", "labels", "sentence"),
    [
        (Small, with_nan(), LABELS, r"batch 1 holds NaN or infinite pixels in images \[2\]"),
        (Small, IMAGES, LABELS + 5, "labels run from 9 to 12, but the network scores 10 classes"),
        (Small, IMAGES * 255, LABELS, "images must lie in .0, 1., but run from"),
        (Small, (IMAGES * 255).byte(), LABELS, "images must be .N, C, H, W. floats"),
        (VanillaConvNet, IMAGES[:, :1], LABELS, r"takes images of shape \(N, 3, H, W\), but got \(4, 1, 32, 32\)"),
        (VanillaConvNet, IMAGES[..., :28, :28], LABELS, "built for images of 32x32, but got 28x28"),
    ],
    ids=["nan", "labels", "range", "dtype", "channels", "size"],
)
@pytest.mark.parametrize("stage", ["fit", "test"])
def test_bad_batches_are_refused_in_one_sentence(network, images, labels, sentence, stage):
    trainer = Trainer(max_epochs=1, **QUIET)
    with pytest.raises(ValueError, match=sentence):
        getattr(trainer, stage)(Classifier(network(), optimizer=sgd), loader(images, labels))


def test_a_tuple_batch_is_refused():
    batches = DataLoader(TensorDataset(IMAGES, LABELS), collate_fn=lambda batch: tuple(list_batches(batch)))
    with pytest.raises(TypeError, match=r"must yield a list \[images, labels\].* got a tuple of 2"):
        Trainer(**QUIET).test(Classifier(Small()), batches)


def test_a_diverged_loss_stops_before_it_reaches_the_weights():
    model = Classifier(Small(), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e38))
    with pytest.raises(ValueError, match="the loss is not finite at or before batch .*lower the learning rate"):
        Trainer(max_epochs=1, **QUIET).fit(model, Digits())


def test_mixed_precision_learns():
    seed_everything(0)
    trainer = Trainer(max_epochs=3, precision="bf16-mixed", **QUIET)
    trainer.fit(Classifier(Small(), optimizer=sgd), Digits(augmentations=[RandomCrop(2)]))
    assert trainer.callback_metrics["val/acc"] > 0.6
