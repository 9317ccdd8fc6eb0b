"""Generations: each a whole training, taught by the one before, and resumable at any step."""

import copy
from pathlib import Path

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from torch.multiprocessing import ProcessRaisedException
from torch.nn import functional as F

from callbacks import BornAgain, Report, RePr
from callbacks.initial_weights import redraw
from cli.checkpoint_io import AtomicCheckpointIO
from datamodules import Digits, RandomCrop
from lightning_modules import Classifier
from main import main
from networks import VanillaConvNet
from tests.callbacks.pruning_runs import STEPS, TwoLayers, assert_same_end, fit

TWO = {"devices": 2, "strategy": "ddp_fork"}
CONFIGS = Path(__file__).parents[2] / "configs"
LENGTH = 2  # epochs of a generation


def born(folder, *callbacks, generations=3, every_step=False, **options):
    """A training of three generations of two epochs; callbacks follow."""
    return fit(folder, BornAgain(generations), *callbacks, max_epochs=LENGTH, every_step=every_step, **options)


class Generations(Callback):
    """Keeps what is there before and after the first step of each generation."""

    def __init__(self):
        self.before, self.after, self.batches, self.teachers, self.momenta, self.rates = [], [], [], [], [], []

    def on_train_start(self, trainer, pl_module):
        self.initial = copy.deepcopy(pl_module.state_dict())

    def on_train_epoch_start(self, trainer, pl_module):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch % LENGTH == batch_idx == 0:
            self.batches.append(batch)
            self.before.append(copy.deepcopy(pl_module.state_dict()))
            self.momenta.append(len(trainer.optimizers[0].state))
            teacher = next(one for one in trainer.callbacks if isinstance(one, BornAgain)).teacher
            self.teachers.append(copy.deepcopy(teacher))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch % LENGTH == batch_idx == 0:
            self.after.append(copy.deepcopy(pl_module.state_dict()))


class LastWeights(Callback):
    """Keeps the weights at every epoch's end."""

    def __init__(self):
        self.weights = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.weights.append(copy.deepcopy(pl_module.state_dict()))


def test_the_first_generation_is_plain_training(tmp_path):
    ends = LastWeights()
    born(tmp_path / "born", ends)
    plain = fit(tmp_path / "plain", max_epochs=LENGTH).lightning_module.state_dict()
    assert len(ends.weights) == 3 * LENGTH
    assert all(torch.equal(ends.weights[LENGTH - 1][name], value) for name, value in plain.items())


def test_one_generation_is_plain_training(tmp_path):
    assert_same_end(born(tmp_path / "born", generations=1), fit(tmp_path / "plain", max_epochs=LENGTH))


def test_each_generation_starts_anew_and_learns_from_the_one_before(tmp_path):
    generations, ends = Generations(), LastWeights()
    born(tmp_path, generations, ends)
    module = Classifier(TwoLayers())
    assert generations.teachers[0] is None
    for number in (1, 2):
        expected = redraw(module, generations.initial, number)
        for name, value in expected.items():
            assert torch.equal(generations.before[number][name], value), name
        teacher, last = generations.teachers[number], ends.weights[number * LENGTH - 1]
        assert not any(part.training for part in teacher.modules())
        assert not any(parameter.requires_grad for parameter in teacher.parameters())
        for name, value in teacher[0].state_dict().items():
            assert torch.equal(value, last[f"network.{name}"]), name
    assert generations.momenta == [0, 0, 0]


def test_a_students_step_is_that_of_the_mixed_loss(tmp_path):
    generations = Generations()
    network = TwoLayers(batch_norm=False)
    born(tmp_path, generations, generations=2, network=network, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    student = Classifier(TwoLayers(batch_norm=False))
    student.load_state_dict(generations.before[1])
    images, labels = generations.batches[1]
    scores, taught = student(images), generations.teachers[1](images).softmax(1)
    soft = (taught * (taught.log() - F.log_softmax(scores, 1))).sum(1).mean()
    (0.5 * F.cross_entropy(scores, labels) + 0.5 * soft).backward()
    for name, parameter in student.named_parameters():
        expected = parameter - 0.1 * parameter.grad
        torch.testing.assert_close(generations.after[1][name], expected.detach(), rtol=1e-5, atol=1e-6)


class Stepped(Classifier):
    """With a schedule that an epoch's end shows."""

    def __init__(self, network, optimizer):
        super().__init__(network, optimizer=optimizer, lr_scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 1))


def test_learning_rates_start_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.callbacks.pruning_runs.Classifier", Stepped)
    generations, monitor = Generations(), LearningRateMonitor("epoch")
    # The one that looks at the rate stands before BornAgain.
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=1)
    fit(tmp_path, generations, monitor, BornAgain(3), max_epochs=LENGTH, logger=logger)
    assert generations.rates == pytest.approx([0.05, 0.005] * 3)
    rows = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    place = rows[0].split(",").index("lr-SGD")
    seen = [float(row.split(",")[place]) for row in rows[1:] if row.split(",")[place]]
    assert seen == pytest.approx([0.05, 0.005] * 3)


class Crash(Callback):
    """Stops the run in a hook, as if the machine had failed there."""

    def __init__(self, hook, epoch, batch=None):
        def fail(trainer, *args, **kwargs):
            if trainer.current_epoch == epoch and (batch is None or args[3] == batch):
                raise InterruptedError(hook)

        setattr(self, hook, fail)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted training."""
    return born(tmp_path_factory.mktemp("whole"), every_step=True)


def accuracies(trainer):
    return next(callback for callback in trainer.callbacks if isinstance(callback, BornAgain)).accuracies


@pytest.mark.parametrize("epoch", range(1, 3 * LENGTH))
@pytest.mark.parametrize("hook", ["on_train_epoch_start", "on_validation_end"])
def test_resumed_at_an_epochs_end_equals_uninterrupted(hook, epoch, whole, tmp_path):
    report = BornAgain()
    with pytest.raises(InterruptedError):
        born(tmp_path / "broken", Crash(hook, epoch))
    resumed = fit(tmp_path / "broken", report, max_epochs=LENGTH, ckpt_path=tmp_path / "broken" / "last.ckpt")
    assert_same_end(whole, resumed)
    assert report.accuracies == accuracies(whole)
    assert report.generation == 2


@pytest.mark.parametrize(("epoch", "batch"), [(0, 2), (1, STEPS - 1), (2, 0), (2, 3), (3, STEPS - 1), (4, 0), (5, 2)])
def test_resumed_in_the_middle_of_an_epoch_equals_uninterrupted(epoch, batch, whole, tmp_path):
    with pytest.raises(InterruptedError):
        born(tmp_path / "broken", Crash("on_train_batch_end", epoch, batch), every_step=True)
    checkpoint = tmp_path / "broken" / "last.ckpt"
    assert_same_end(whole, born(tmp_path / "broken", every_step=True, ckpt_path=checkpoint))


class Bring(Callback):
    """Brings weights out of the workers, after having asserted that they and their teachers agree."""

    def __init__(self, path):
        self.path = path

    def on_train_end(self, trainer, pl_module):
        teacher = next(one for one in trainer.callbacks if isinstance(one, BornAgain)).teacher
        for tensor in (*pl_module.parameters(), *teacher.parameters(), *teacher.buffers()):
            ranks = trainer.strategy.all_gather(tensor.detach())
            assert trainer.world_size == 1 or torch.equal(ranks[0], ranks[1])
        assert len(list(trainer.strategy.model.parameters())) == len(list(pl_module.network.parameters()))
        if trainer.is_global_zero:
            torch.save(pl_module.state_dict(), self.path)


def test_two_ranks_equal_one_process(tmp_path):
    ends = []
    for ranks, batch_size in (({}, 100), (TWO, 50)):
        torch.manual_seed(0)
        path, data = tmp_path / str(batch_size), Digits(batch_size=batch_size, drop_last=True)
        born(tmp_path, Bring(path), network=TwoLayers(batch_norm=False), data=data, **ranks)
        ends.append(torch.load(path))
    for name, weights in ends[0].items():
        torch.testing.assert_close(ends[1][name], weights, rtol=0, atol=2e-5)


def test_two_ranks_agree_with_batch_statistics(tmp_path):
    born(tmp_path, Bring(tmp_path / "end"), data=Digits(batch_size=50), **TWO)


def test_resumed_on_two_ranks_equals_uninterrupted(tmp_path):
    data = Digits(batch_size=50, augmentations=[RandomCrop(3)])
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    options = {"generations": 2, "every_step": True, "data": data, **TWO}
    born(tmp_path / "whole", Bring(tmp_path / "whole" / "end"), **options)
    with pytest.raises(ProcessRaisedException, match="InterruptedError"):
        born(tmp_path / "broken", Crash("on_train_batch_end", LENGTH, 2), **options)
    last, end = tmp_path / "broken" / "last.ckpt", tmp_path / "broken" / "end"
    born(tmp_path / "broken", Bring(end), ckpt_path=last, **options)
    whole = torch.load(tmp_path / "whole" / "end")
    assert all(torch.equal(value, whole[name]) for name, value in torch.load(end).items())


def test_mixed_precision_and_accumulated_gradients(tmp_path):
    trainer = born(tmp_path, precision="bf16-mixed", accumulate_grad_batches=3)
    assert trainer.callback_metrics["val/acc"] > 0.2
    assert trainer.global_step == 3 * LENGTH * 2


def test_averages_forget_the_generation_before(tmp_path):
    average, distances = EMAWeightAveraging(decay=0.9), []

    class Distance(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            own, mean = pl_module.network.layers[8].weight, average._average_model.module.network.layers[8].weight
            distances.append((own - mean).norm().item() / own.norm().item())

    born(tmp_path, average, Distance())
    assert distances[LENGTH * STEPS] < 0.1  # the draws of two generations are 1.4 apart


def test_the_best_checkpoint_is_that_of_all_generations(tmp_path):
    again = BornAgain()
    trainer = fit(tmp_path, again, max_epochs=LENGTH)
    assert [len(known) for known in again.accuracies.values()] == [LENGTH] * 3
    highest = max(max(known) for known in again.accuracies.values())
    best = next(one for one in trainer.checkpoint_callbacks if one.monitor)
    assert best.best_model_score.item() == highest
    assert again.accuracies[2][-1] == trainer.callback_metrics["val/acc"]


def test_the_report_has_a_row_for_each_generation(tmp_path):
    logger = CSVLogger(tmp_path)
    fit(tmp_path, Report(), BornAgain(2), max_epochs=LENGTH, logger=logger)
    page = (Path(logger.log_dir) / "report.html").read_text()
    assert "Generations" in page
    assert "labels and generation 1" in page


def test_the_trainer_has_its_own_length_afterwards(tmp_path):
    assert born(tmp_path / "one").max_epochs == LENGTH
    crash = Crash("on_train_epoch_start", 3)
    with pytest.raises(InterruptedError):
        born(tmp_path / "two", crash)
    trainer = born(tmp_path / "three", generations=2)
    trainer.fit(Classifier(TwoLayers()), Digits(batch_size=100))
    assert trainer.current_epoch == 2 * LENGTH


def test_the_checkpoint_is_plain_data_and_the_model_is_plain(tmp_path):
    trainer = born(tmp_path)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    kept = checkpoint["callbacks"]["BornAgain"]
    assert kept["generation"] == 2
    assert set(checkpoint["state_dict"]) == set(Classifier(TwoLayers()).state_dict())
    assert trainer.lightning_module.loss_terms == []


def test_no_checkpoint_has_a_teacher(tmp_path):
    born(tmp_path / "born")
    fit(tmp_path / "plain", max_epochs=3 * LENGTH)
    sizes = [(tmp_path / name / "last.ckpt").stat().st_size for name in ("born", "plain")]
    smallest_teacher = (tmp_path / "born" / "generations").glob("generation-1-*.pt")
    assert sizes[0] - sizes[1] < next(smallest_teacher).stat().st_size / 4


def test_generations_are_weights_files_that_networks_read(tmp_path):
    ends = LastWeights()
    options = {"network": VanillaConvNet(width=4), "max_epochs": LENGTH}
    fit(tmp_path, BornAgain(3), ends, **options)
    for number in (1, 2):
        (file,) = (tmp_path / "generations").glob(f"generation-{number}-*.pt")
        network = VanillaConvNet(width=4, weights=file)
        for name, value in network.state_dict().items():
            assert torch.equal(value, ends.weights[number * LENGTH - 1][f"network.{name}"]), name


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_a_run_that_was_moved_resumes_and_gets_files_of_its_own(whole, tmp_path):
    with pytest.raises(InterruptedError):
        born(tmp_path / "broken", Crash("on_train_epoch_start", 2 * LENGTH + 1))
    (tmp_path / "broken").rename(tmp_path / "moved")
    resumed = born(tmp_path / "new", ckpt_path=tmp_path / "moved" / "last.ckpt")
    assert_same_end(whole, resumed)
    names = {path.name.rsplit("-", 1)[0] for path in (tmp_path / "new" / "generations").iterdir()}
    assert names == {"initial", "generation-2"}


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (
            lambda file: file.unlink(),
            FileNotFoundError,
            "resumed without generations/generation-1-",
        ),
        (lambda file: file.write_bytes(file.read_bytes()[:500]), ValueError, "is damaged"),
        (lambda file: torch.save({"state_dict": {"a": torch.ones(1)}}, file), ValueError, "is damaged"),
    ],
)
def test_a_missing_or_damaged_teacher_is_refused(spoil, error, words, tmp_path):
    with pytest.raises(InterruptedError):
        born(tmp_path, Crash("on_train_epoch_start", LENGTH + 1))
    (file,) = (tmp_path / "generations").glob("generation-1-*.pt")
    spoil(file)
    with pytest.raises(error, match=words):
        born(tmp_path, ckpt_path=tmp_path / "last.ckpt")


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_its_checkpoints_can_be_tested_with_and_without_it(tmp_path):
    trainer = born(tmp_path)
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    figures = []
    for callbacks in ([], [BornAgain()]):
        tester = Trainer(callbacks=callbacks, plugins=[AtomicCheckpointIO()], **options)
        path = trainer.checkpoint_callback.best_model_path
        figures += tester.test(Classifier(TwoLayers()), Digits(), ckpt_path=path, verbose=False)
    assert figures[0] == figures[1]


def test_a_trial_run_takes_a_step_of_every_generation(capsys):
    files = [word for name in ("quickstart", "plugins/born_again") for word in ("-c", str(CONFIGS / f"{name}.yaml"))]
    main(["fit", *files, "--trainer.fast_dev_run=true", "--trainer.accelerator=cpu"])
    assert "epoch 3/3" in capsys.readouterr().out


def test_bad_combinations_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="BornAgain: generations=0 must be 1 or more"):
        BornAgain(0)
    with pytest.raises(ValueError, match="BornAgain: temperature=-1 must be above 0"):
        BornAgain(temperature=-1)
    with pytest.raises(ValueError, match="EarlyStopping would end the training within a generation"):
        born(tmp_path, EarlyStopping("val/acc"))
    with pytest.raises(ValueError, match="counts a generation in epochs: set trainer.max_epochs"):
        born(tmp_path, max_steps=3)
    with pytest.raises(ValueError, match="BornAgain takes part in the loss of a Classifier"):
        BornAgain().setup(None, LightningModule(), "fit")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_cycles_of_pruning_must_end_within_the_first_generation(unit, order, tmp_path):
    length = 1 if unit == "epoch" else STEPS
    pair = [RePr(40, length, length // STEPS or 1, 1, unit=unit), BornAgain(2)]
    trainer = fit(tmp_path, *pair[::order], max_epochs=3)
    assert trainer.current_epoch == 6
    longer = [RePr(40, length, 2 * length, 1, unit=unit), BornAgain(2)]
    with pytest.raises(ValueError, match="RePr"):
        fit(tmp_path, *longer[::order], max_epochs=LENGTH)


def test_another_length_is_refused_on_resuming(tmp_path):
    born(tmp_path)
    with pytest.raises(ValueError, match="each generation of the resumed run has 2 epochs, but trainer.max_ep"):
        fit(tmp_path, BornAgain(), max_epochs=3, ckpt_path=tmp_path / "last.ckpt")


def test_more_generations_can_follow(tmp_path):
    whole = born(tmp_path / "whole", generations=3)
    born(tmp_path / "part", generations=2)
    assert_same_end(whole, born(tmp_path / "part", generations=3, ckpt_path=tmp_path / "part" / "last.ckpt"))
