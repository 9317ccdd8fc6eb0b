"""A network trained with the graph smoothness loss is a classifier like any other."""

import pytest
import torch
from lightning import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from torch import nn

from attacks import PGD
from callbacks import AdversarialTraining, CorruptionError, FoolingRate
from cli.checkpoint_io import AtomicCheckpointIO
from criteria import BatchStatistics, GraphSmoothness, NearestNeighbors, Readout, SupportVectors
from datamodules import Digits, RandomCrop
from lightning_modules import Classifier
from tests.lightning_modules.test_classifier import QUIET, loader
from tests.lightning_modules.test_two_ranks import ONE, OPTIONS, TWO, Linear


class Embedding(nn.Module):
    """Small and quick, with batch statistics."""

    def __init__(self, width=10):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
        self.linear = nn.Linear(512, width)

    def forward(self, images):
        return self.linear(self.layers(images))


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def model(readout=None, width=10, **options):
    seed_everything(0, verbose=False)
    return Classifier(Embedding(width), GraphSmoothness(**options), readout, optimizer=sgd)


def fit(classifier, *callbacks, epochs=4, data=None, **options):
    trainer = Trainer(max_epochs=epochs, callbacks=list(callbacks), **QUIET | options)
    trainer.fit(classifier, data or Digits(augmentations=[RandomCrop(2)]))
    return trainer


@pytest.fixture(scope="module")
def trained():
    classifier = model()
    fit(classifier)
    return classifier


def test_the_criterion_alone_makes_it_a_classifier(trained):
    assert isinstance(trained.readout, NearestNeighbors)
    assert trained.readout.kernel is trained.criterion.kernel
    for stage in ("validate", "test"):
        (figures,) = getattr(Trainer(**QUIET), stage)(trained, Digits(), verbose=False)
        name = {"validate": "val"}.get(stage, stage)
        assert figures[f"{name}/acc"] > 0.9
        assert figures[f"{name}/loss"] < 0.1
    probabilities = torch.cat(Trainer(**QUIET).predict(trained, Digits()))
    assert probabilities.shape == (360, 10)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(360))


def test_figures_of_training_are_those_of_the_readout():
    trainer = fit(model())
    assert trainer.callback_metrics["val/acc"] > 0.9
    assert 0.6 < trainer.callback_metrics["train/acc"] <= 1


def test_it_remembers_every_training_image_once_and_as_it_is(trained):
    data = Digits(augmentations=[RandomCrop(8)])
    Trainer(**QUIET).test(trained, data, verbose=False)
    memory, source = trained.readout.memory, data.sources["train"]
    assert len(memory["labels"]) == len(source) == 1257
    assert torch.equal(memory["labels"], source.labels)
    with torch.no_grad():
        outputs = trained.network.eval()(source.images / 255)
    torch.testing.assert_close(memory["embeddings"], nn.functional.normalize(outputs, dim=1), rtol=1e-5, atol=1e-5)
    assert not any(name.startswith("readout") for name in trained.state_dict())


def test_validations_in_training_remember_few():
    seen = []

    class Watch(Callback):
        def on_validation_epoch_end(self, trainer, pl_module):
            seen.append(len(pl_module.readout.memory["labels"]))

    fit(model(NearestNeighbors(1, images_in_fit=300)), Watch(), epochs=1)
    assert seen == [300, 300]


@pytest.mark.parametrize(
    ("readout", "options"),
    [
        (NearestNeighbors(1, "uniform"), {}),
        (NearestNeighbors(None), {"k": 5}),
        (SupportVectors(), {"metric": "cosine"}),
        (NearestNeighbors(10), {"normalize": BatchStatistics(4), "width": 4}),
    ],
    ids=["1-NN", "all", "SVC", "batch statistics"],
)
def test_other_readouts_and_losses(readout, options):
    classifier = model(readout, **options)
    fit(classifier, epochs=3)
    (figures,) = Trainer(**QUIET).test(classifier, Digits(), verbose=False)
    assert figures["test/acc"] > 0.85


def test_it_is_attacked_corrupted_and_hardened_like_any_other():
    classifier = model()
    fit(classifier, AdversarialTraining(PGD(eps=0.03, steps=2)), epochs=2)
    callbacks = [FoolingRate([PGD(eps=0.3, steps=10)], images=50), CorruptionError(["contrast"], [1, 5], images=50)]
    figures = Trainer(callbacks=callbacks, **QUIET).test(classifier, Digits(), verbose=False)[0]
    assert figures["test/pgd/fooling_rate"] > 0.5
    assert figures["test/corruption/contrast/5"] >= figures["test/corruption/clean"]


def test_mixed_precision_and_averaged_weights():
    averaging = WeightAveraging()
    trainer = fit(model(), averaging, precision="bf16-mixed", epochs=4)
    assert trainer.callback_metrics["val/acc"] > 0.8


def test_without_a_sanity_check_attacks_in_training_find_a_memory():
    fit(model(), AdversarialTraining(PGD(eps=0.03, steps=1)), epochs=1, num_sanity_val_steps=0, limit_train_batches=2)


def test_loaders_without_training_images_are_refused():
    images, labels = torch.rand(8, 3, 32, 32), torch.arange(8)
    with pytest.raises(ValueError, match="give it a datamodule with memory_dataloader"):
        Trainer(**QUIET).test(model(), loader(images, labels))


def test_the_readout_of_a_notebook(trained):
    data = Digits()
    data.setup("fit")
    with torch.no_grad():
        images, labels = data.sources["train"].images / 255, data.sources["train"].labels
        trained.eval().readout.remember(trained.network(images), labels, num_classes=10)
        assert (trained(data.sources["val"].images / 255).argmax(1) == data.sources["val"].labels).float().mean() > 0.9


def curvature(criterion, outputs, own):
    """The Hessian of the loss of all outputs times a direction, for this rank's own rows; (12, 10)."""
    direction = torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype).view_as(outputs)[own]
    outputs, labels = outputs[own].requires_grad_(), (torch.arange(12) % 3)[own]
    (slope,) = torch.autograd.grad(criterion(outputs, labels), outputs, create_graph=True)
    return torch.autograd.grad((slope * direction).sum(), outputs)[0]


def joint_graphs_have_second_derivatives(rank):
    """Each of two ranks gets twice its rows of one process's, as of the gradient, which DDP divides by two."""
    outputs = torch.randn(12, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    own = slice(0, 7) if rank == 0 else slice(7, 12)
    alone = curvature(GraphSmoothness(scope="local"), outputs, slice(None))[own]
    torch.testing.assert_close(curvature(GraphSmoothness(), outputs, own), 2 * alone, rtol=0, atol=1e-12)


class Keep(Callback):
    """Brings weights, memory and figures out of the workers."""

    def __init__(self, path):
        self.path = path

    def on_train_end(self, trainer, pl_module):
        if trainer.world_size > 1:
            joint_graphs_have_second_derivatives(trainer.global_rank)
        if trainer.is_global_zero:
            torch.save(pl_module.state_dict(), self.path)

    def on_test_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            pl_module.criterion(torch.rand(4, 10), torch.arange(4))  # in evaluations it asks no other rank
            figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
            torch.save({"figures": figures, "memory": pl_module.readout.memory}, self.path)


@pytest.mark.parametrize("options", [{}, {"k": 7}, {"k": 7, "symmetric": "mutual", "reduction": "edges"}])
def test_two_ranks_train_like_one_process_with_the_joint_batch(options, tmp_path):
    results = []
    for ranks, batch_size in ((ONE, 64), (TWO, 32)):
        seed_everything(0)
        classifier = Classifier(Linear(), GraphSmoothness(**options), optimizer=sgd)
        trainer = Trainer(max_epochs=1, precision="64-true", callbacks=[Keep(tmp_path / "w")], **OPTIONS, **ranks)
        trainer.fit(classifier, Digits(batch_size=batch_size))  # the last batch has 41 images: 21 and 20
        results.append(torch.load(tmp_path / "w"))
    for name, weights in results[0].items():
        torch.testing.assert_close(results[1][name], weights, rtol=0, atol=1e-9)


def test_local_graphs_are_another_loss(tmp_path):
    weights = []
    for scope in ("global", "local"):
        seed_everything(0)
        classifier = Classifier(Linear(), GraphSmoothness(scope=scope), optimizer=sgd)
        trainer = Trainer(max_epochs=1, limit_train_batches=3, callbacks=[Keep(tmp_path / "w")], **OPTIONS, **TWO)
        trainer.fit(classifier, Digits(batch_size=32))
        weights.append(torch.load(tmp_path / "w"))
    assert any(not torch.allclose(value, weights[1][name], atol=1e-6) for name, value in weights[0].items())


def test_figures_and_memory_of_two_ranks_are_those_of_one_process(trained, tmp_path):
    results = []
    for ranks, size in ((ONE, 100), (TWO, 77)):
        trainer = Trainer(callbacks=[Keep(tmp_path / "figures")], **OPTIONS, **ranks)
        trainer.test(trained, Digits(eval_batch_size=size), verbose=False)
        results.append(torch.load(tmp_path / "figures"))
    one, two = results
    assert one["figures"]["test/acc"] == two["figures"]["test/acc"]
    assert torch.equal(one["memory"]["labels"], two["memory"]["labels"])
    torch.testing.assert_close(one["memory"]["embeddings"], two["memory"]["embeddings"], rtol=0, atol=1e-6)


class Crash(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 2:
            raise InterruptedError


@pytest.mark.parametrize("hardened", [False, True])
def test_resumed_in_the_middle_of_an_epoch_equals_uninterrupted(hardened, tmp_path):
    def run(folder, *crash, ckpt_path=None):
        classifier = model()
        last = ModelCheckpoint(folder, "last", enable_version_counter=False, every_n_train_steps=1)
        hardening = [AdversarialTraining(PGD(eps=0.05, steps=1))] if hardened else []
        options = QUIET | {"enable_checkpointing": True, "plugins": [AtomicCheckpointIO()]}
        trainer = Trainer(max_epochs=3, callbacks=[*hardening, *crash, last], **options)
        trainer.fit(classifier, Digits(batch_size=250), ckpt_path=ckpt_path)
        return classifier.state_dict()

    whole = run(tmp_path / "whole")
    with pytest.raises(InterruptedError):
        run(tmp_path / "broken", Crash())
    content = torch.load(tmp_path / "broken" / "last.ckpt", weights_only=True)
    assert ("readout" in content["classifier"]) is hardened
    resumed = run(tmp_path / "broken", ckpt_path=str(tmp_path / "broken" / "last.ckpt"))
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


@pytest.mark.parametrize("averaged", [False, True])
def test_resumed_before_a_last_batch_with_fewer_images_than_neighbours(averaged, tmp_path):
    class Interrupted(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if batch_idx == 12:  # before it is in a checkpoint
                raise InterruptedError

    def run(folder, *callbacks, ckpt_path=None):
        classifier = model(k=80)
        last = ModelCheckpoint(folder, "last", enable_version_counter=False, every_n_train_steps=1)
        averaging = [WeightAveraging()] if averaged else []
        options = QUIET | {"enable_checkpointing": True, "plugins": [AtomicCheckpointIO()]}
        trainer = Trainer(max_epochs=1, callbacks=[*averaging, *callbacks, last], **options)
        trainer.fit(classifier, Digits(batch_size=100), ckpt_path=ckpt_path)  # 12 batches and one of 57 images
        return classifier.state_dict()

    whole = run(tmp_path / "whole")
    with pytest.raises(InterruptedError):
        run(tmp_path / "broken", Interrupted())
    resumed = run(tmp_path / "broken", ckpt_path=str(tmp_path / "broken" / "last.ckpt"))
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_a_readout_of_your_own_is_taken():
    assert isinstance(model(SupportVectors()).readout, SupportVectors)
    assert not isinstance(Classifier(Embedding()).readout, Readout)
