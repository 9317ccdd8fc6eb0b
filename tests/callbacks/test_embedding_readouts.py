"""Several readouts of a test's embeddings, side by side."""

import json

import pytest
import torch
from lightning import LightningModule
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from callbacks import EmbeddingReadouts, Report
from criteria import GraphSmoothness, NearestNeighbors
from datamodules import Digits
from lightning_modules import Classifier
from tests.lightning_modules.test_graph_classifier import Embedding, fit, model, sgd


@pytest.fixture(scope="module")
def trained():
    classifier = model()
    fit(classifier, epochs=3)
    return classifier


@pytest.fixture
def test(trainer, folder):
    def run(classifier, callback, **options):
        trainer(Report(), callback, **options).test(classifier, Digits(eval_batch_size=100), verbose=False)
        return json.loads((folder / "metrics.json").read_text())["test"]

    return run


def test_accuracies_are_those_of_scikit_learn(trained, test, folder):
    found = test(trained, EmbeddingReadouts())
    data = Digits()
    data.setup("fit")
    data.setup("test")
    with torch.no_grad():
        train, held_out = (
            F.normalize(trained.network.eval()(data.sources[part].images / 255), dim=1) for part in ("train", "test")
        )
    for k in (1, 10):
        machine = KNeighborsClassifier(k, algorithm="brute").fit(train, data.sources["train"].labels)
        accuracy = machine.score(held_out, data.sources["test"].labels)
        assert found[f"test/readout/{k}-NN"] == pytest.approx(accuracy, abs=2 / 360)
    assert found["test/readout/SVC"] > 0.85
    page = (folder / "report.html").read_text()
    assert ">Readouts" in page
    assert "10-NN" in page


def test_class_scores_of_cross_entropy_are_embeddings_too(test):
    classifier = Classifier(Embedding(), optimizer=sgd)
    fit(classifier, epochs=3)
    found = test(classifier, EmbeddingReadouts([NearestNeighbors(5)], images=500))
    assert found["test/readout/5-NN"] > 0.85
    assert classifier.seen == {}


def test_ranks_do_not_matter(trained, test):
    one = test(trained, EmbeddingReadouts())
    two = test(trained, EmbeddingReadouts(), devices=2, strategy="ddp_fork")
    for name in ("1-NN", "10-NN", "SVC"):
        assert two[f"test/readout/{name}"] == one[f"test/readout/{name}"]


def test_refuses_impossible_options():
    with pytest.raises(ValueError, match="images=-1 must be 0 or more"):
        EmbeddingReadouts(images=-1)
    for readouts in ([], [NearestNeighbors(3), NearestNeighbors(3, "uniform")]):
        with pytest.raises(ValueError, match="must hold at least one, and none twice"):
            EmbeddingReadouts(readouts)


class Foreign(LightningModule):
    def test_step(self, batch, batch_idx):
        return None


def test_another_module_is_refused(trainer):
    with pytest.raises(ValueError, match="the model is a Foreign: take a Classifier or leave EmbeddingReadouts out"):
        trainer(EmbeddingReadouts()).test(Foreign(), Digits(), verbose=False)


def test_a_graph_classifier_is_no_teacher_of_scores(trainer):
    from callbacks import BornAgain

    with pytest.raises(ValueError, match="BornAgain: a teacher's class scores must stay as they are"):
        trainer(BornAgain()).fit(Classifier(Embedding(), GraphSmoothness(), optimizer=sgd), Digits())
