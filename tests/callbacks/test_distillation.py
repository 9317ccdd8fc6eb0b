"""A teacher changes the student's steps as the formula says, and is otherwise not there."""

import copy
import logging

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.nn import functional as F

from callbacks import Distillation
from callbacks.distillation import plain_images
from datamodules import Digits
from tests.callbacks.pruning_runs import TwoLayers, assert_same_end, fit

TWO = {"devices": 2, "strategy": "ddp_fork"}


class Wider(nn.Module):
    """A teacher with batch statistics and dropout, which would show if it were in train mode."""

    def __init__(self, num_classes=10):
        super().__init__()
        torch.manual_seed(7)
        self.seen = []
        self.layers = nn.Sequential(
            nn.Conv2d(3, 12, 3, stride=4),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(768, num_classes),
        )

    def forward(self, images):
        self.seen.append(images)
        return self.layers(images)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def without_statistics():
    torch.manual_seed(0)
    return TwoLayers(batch_norm=False)


class Watch(Callback):
    """Keeps the weights before the first step, all batches, and the teacher."""

    def __init__(self, distillation):
        self.distillation, self.before, self.batches, self.teacher = distillation, None, [], None

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.before = self.before or copy.deepcopy(pl_module.network.state_dict())
        self.batches.append(batch)

    def on_train_end(self, trainer, pl_module):
        self.teacher = self.distillation.teacher


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(("temperature", "weight"), [(4.0, 0.9), (1.0, 1.0), (2.0, 0.3)])
def test_a_step_is_that_of_the_mixed_loss(temperature, weight, accumulate, tmp_path):
    distillation = Distillation(temperature=temperature, weight=weight, network=Wider)
    watch = Watch(distillation)
    options = {"max_epochs": 1, "accumulate_grad_batches": accumulate, "limit_train_batches": accumulate}
    trainer = fit(tmp_path, distillation, watch, network=without_statistics(), optimizer=sgd, **options)
    student, teacher = without_statistics(), Wider().eval()
    student.load_state_dict(watch.before)
    for images, labels in watch.batches:
        scores, taught = student(images), (teacher(images) / temperature).softmax(1).detach()
        soft = (taught * (taught.log() - F.log_softmax(scores / temperature, 1))).sum(1).mean()
        loss = (1 - weight) * F.cross_entropy(scores, labels) + weight * temperature**2 * soft
        (loss / accumulate).backward()
    after = dict(trainer.lightning_module.network.named_parameters())
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(after[name].detach(), parameter - 0.1 * parameter.grad, rtol=1e-5, atol=1e-6)


def test_weight_0_is_plain_training(tmp_path):
    """With batch statistics, dropout and momentum, so that a teacher who uses up random numbers would show."""
    taught = fit(tmp_path, Distillation(weight=0.0, network=Wider), max_epochs=2)
    assert_same_end(taught, fit(tmp_path, max_epochs=2))


class Noise(Callback):
    """Replaces the images, as an attack would."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        batch[0] = (batch[0] + 0.1 * torch.rand_like(batch[0])).clamp(0, 1)


def test_the_teacher_sees_what_the_student_sees(tmp_path):
    distillation = Distillation(network=Wider)
    watch = Watch(distillation)
    fit(tmp_path, Noise(), watch, distillation, max_epochs=1)
    seen = watch.teacher.seen[1:]  # behind the image by which classes are compared
    assert len(seen) == len(watch.batches) == 5
    assert all(one is images for one, (images, _) in zip(seen, watch.batches, strict=True))


def test_the_teacher_stays_as_it_was_and_leaves_no_trace(tmp_path):
    distillation = Distillation(network=Wider)
    watch = Watch(distillation)
    trainer = fit(tmp_path, distillation, watch, max_epochs=1)
    untouched = Wider()
    assert not any(module.training for module in watch.teacher.modules())
    for name, value in watch.teacher.state_dict().items():
        assert torch.equal(value, untouched.state_dict()[name]), name
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in watch.teacher.parameters())
    model = trainer.lightning_module
    assert set(model.state_dict()) == {f"network.{name}" for name in TwoLayers().state_dict()}
    ours = {id(parameter) for parameter in model.parameters()}
    assert {id(one) for group in trainer.optimizers[0].param_groups for one in group["params"]} == ours
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert set(checkpoint["state_dict"]) == set(model.state_dict())
    assert not any("Distillation" in key for key in checkpoint["callbacks"])
    assert model.loss_terms == []
    assert distillation.teacher is None


class Crash(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 8:
            raise InterruptedError(pl_module)


def test_after_an_error_the_module_is_as_before(tmp_path):
    with pytest.raises(InterruptedError) as caught:
        fit(tmp_path, Distillation(network=Wider), Crash())
    assert caught.value.args[0].loss_terms == []


def test_resumed_equals_uninterrupted(tmp_path):
    whole = fit(tmp_path / "whole", Distillation(network=Wider), max_epochs=3, every_step=True)
    with pytest.raises(InterruptedError):
        fit(tmp_path / "broken", Distillation(network=Wider), Crash(), max_epochs=3, every_step=True)
    again = {"ckpt_path": tmp_path / "broken" / "last.ckpt", "every_step": True}
    assert_same_end(whole, fit(tmp_path / "broken", Distillation(network=Wider), max_epochs=3, **again))


class Bring(Callback):
    """Brings weights out of the workers, after having asserted that they agree and that DDP knows no teacher."""

    def __init__(self, path):
        self.path = path

    def on_train_end(self, trainer, pl_module):
        for name, parameter in pl_module.named_parameters():
            ranks = trainer.strategy.all_gather(parameter.detach())
            assert trainer.world_size == 1 or torch.equal(ranks[0], ranks[1]), name
        assert len(list(trainer.strategy.model.parameters())) == len(list(pl_module.network.parameters()))
        if trainer.is_global_zero:
            torch.save(pl_module.state_dict(), self.path)


@pytest.mark.parametrize("remember", [False, True])
def test_two_ranks_equal_one_process(remember, tmp_path):
    ends = []
    for ranks, batch_size in (({}, 100), (TWO, 50)):
        path, data = tmp_path / str(batch_size), Digits(batch_size=batch_size, drop_last=True)
        callbacks = Distillation(network=Wider, remember=remember), Bring(path)
        fit(tmp_path, *callbacks, network=without_statistics(), data=data, max_epochs=2, **ranks)
        ends.append(torch.load(path))
    for name, weights in ends[0].items():
        torch.testing.assert_close(ends[1][name], weights, rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions(precision, tmp_path):
    exact, other = (
        fit(tmp_path, Distillation(network=Wider), network=without_statistics(), max_epochs=1, precision=one)
        for one in ("32-true", precision)
    )
    figures = [trainer.callback_metrics["train/loss_step"].item() for trainer in (exact, other)]
    assert figures[1] == pytest.approx(figures[0], rel=0.05)


def test_it_says_who_teaches(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        fit(tmp_path, Distillation(network=Wider), max_epochs=1)
    said = [record.getMessage() for record in caplog.records if "Distillation" in record.getMessage()]
    assert said == ["Distillation: the teacher is the Wider with 8,050 weights of the option network"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"temperature": 0}, "Distillation: temperature=0 must be above 0"),
        ({"weight": 1.5}, "Distillation: weight=1.5 must lie between 0, .*, and 1"),
        ({"weight": -0.1}, "weight=-0.1 must lie between"),
        ({"network": None}, "needs one teacher, but got neither of the options teacher and network"),
        ({"teacher": "best.ckpt"}, "needs one teacher, but got both of the options teacher and network"),
    ],
)
def test_bad_options_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Distillation(**{"network": Wider, **options})


def test_a_missing_teacher_is_refused_before_training(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no teacher gone.ckpt"):
        fit(tmp_path, Distillation("gone.ckpt"))


@pytest.mark.parametrize("remember", [False, True])
def test_other_classes_are_refused_before_the_first_batch(remember, tmp_path):
    teacher, student = Wider(7), TwoLayers()
    start = copy.deepcopy(student.state_dict())
    distillation = Distillation(network=lambda: teacher, remember=remember)
    with pytest.raises(ValueError, match="the teacher scores 7 classes and the student 10: choose a teacher that was"):
        fit(tmp_path, distillation, network=student)
    assert [len(images) for images in teacher.seen] == [1]
    for name, value in student.state_dict().items():  # with counts of the batches that were trained on
        assert torch.equal(value, start[name]), name


def test_other_modules_are_refused():
    with pytest.raises(ValueError, match="Distillation takes part in the loss of a Classifier, but the model is a Li"):
        Distillation(network=Wider).setup(None, LightningModule(), "fit")


def test_a_test_needs_no_teacher():
    Distillation("gone.ckpt").setup(None, LightningModule(), "test")


def test_remembered_scores_teach_the_same_at_one_pass_in_all(tmp_path):
    distillation = Distillation(network=Wider, remember=True)
    watch = Watch(distillation)
    options = {"max_epochs": 3, "data": Digits(batch_size=100)}
    plain = fit(tmp_path, Distillation(network=Wider), network=without_statistics(), **options)
    remembered = fit(tmp_path, watch, distillation, network=without_statistics(), **options)
    seen = torch.cat(watch.teacher.network.seen[1:])  # behind the image by which classes are compared
    assert len(seen) == len(remembered.datamodule.sources["train"])
    for name, weights in plain.lightning_module.state_dict().items():
        torch.testing.assert_close(remembered.lightning_module.state_dict()[name], weights, rtol=0, atol=1e-5)


def test_remembering_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    def run(folder, *callbacks, **options):
        callbacks = Distillation(network=Wider, remember=True), *callbacks
        return fit(tmp_path / folder, *callbacks, max_epochs=3, every_step=True, data=Digits(batch_size=100), **options)

    whole = run("whole")
    with pytest.raises(InterruptedError):
        run("broken", Crash())
    assert_same_end(whole, run("broken", ckpt_path=tmp_path / "broken" / "last.ckpt"))


def test_images_that_are_never_the_same_are_said_and_scored_as_ever(tmp_path):
    distillation, watch = Distillation(network=Wider, remember=True), Watch(plain := Distillation(network=Wider))
    with pytest.warns(UserWarning, match="remember=true saves nothing, as no image of this batch"):
        noisy = fit(tmp_path, Noise(), distillation, network=without_statistics(), max_epochs=1)
    same = fit(tmp_path, Noise(), watch, plain, network=without_statistics(), max_epochs=1)
    for name, weights in same.lightning_module.state_dict().items():
        torch.testing.assert_close(noisy.lightning_module.state_dict()[name], weights, rtol=0, atol=1e-6)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_images_are_known_in_other_precisions(precision, tmp_path):
    watch = Watch(distillation := Distillation(network=Wider, remember=True))
    options = {"max_epochs": 1, "data": Digits(batch_size=100), "precision": precision}
    trainer = fit(tmp_path, watch, distillation, network=without_statistics(), **options)
    assert sum(map(len, watch.teacher.network.seen[1:])) == len(trainer.datamodule.sources["train"])


def test_remembering_needs_the_training_images():
    trainer = Trainer(logger=False, barebones=True)
    with pytest.raises(ValueError, match="remember=true needs all training images as they are: train with one of the"):
        next(plain_images(trainer))
