"""A baseline that is tested beside the network, inside Lightning's test loop."""

import json
from pathlib import Path

import pytest
import torch
from lightning import Trainer, seed_everything
from omegaconf import OmegaConf
from torch import nn

from callbacks import BaselineNetwork, CorruptionError, EarlierRun, InputDefense, Report
from callbacks.corruption_error import baseline_of
from datamodules import Digits
from defenses import BitDepth
from lightning_modules import Classifier
from networks import VanillaConvNet

FEW = {"corruptions": ["fog", "contrast"], "severities": [1, 5], "images": 150}
NETWORK = {"class_path": "networks.VanillaConvNet", "init_args": {"width": 8}}
TWO = {"devices": 2, "strategy": "ddp_fork", "eval_batch_size": 53}


def fitted(seed):
    """A small network of digits, with batch statistics."""
    seed_everything(seed, verbose=False)
    model = Classifier(VanillaConvNet(width=8))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    data = Digits(batch_size=64)
    Trainer(accelerator="cpu", max_epochs=2, enable_model_summary=False, **quiet).fit(model, data)
    return model


@pytest.fixture(scope="module")
def model():
    return fitted(0)


@pytest.fixture(scope="module")
def other():
    return fitted(1)


@pytest.fixture
def store(tmp_path):
    """Writes what a run leaves of a model, and gives its checkpoint."""

    def write(model, **options):
        checkpoint = tmp_path / "earlier" / "checkpoints" / "best.ckpt"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": model.state_dict()}, checkpoint)
        config = {"model": {"init_args": {"network": NETWORK, **options}}}
        OmegaConf.save(config, checkpoint.parent.parent / "config.yaml")
        return str(checkpoint)

    return write


@pytest.fixture
def test(trainer, folder):
    """Tests beside a baseline, and gives the figures of ``metrics.json`` by their last names."""

    def run(model, baseline=None, *before, eval_batch_size=100, **options):
        callback = CorruptionError(**FEW, baseline=baseline)
        data = Digits(eval_batch_size=eval_batch_size)
        trainer(Report(), *before, callback, **options).test(model, data, verbose=False)
        figures = json.loads((folder / "metrics.json").read_text())["test"]
        return {key.removeprefix("test/corruption/"): value for key, value in figures.items()}

    return run


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true"])
def test_a_network_beside_its_own_checkpoint_has_exactly_100(model, store, test, folder, precision):
    checkpoint = store(model)
    found = test(model, checkpoint, eval_batch_size=77, precision=precision)
    assert found["mce"] == found["relative_mce"] == 100
    assert f"Beside {checkpoint}: MCE 100.00" in (folder / "report.html").read_text()


def test_a_network_counts_like_a_run_of_its_own(model, other, store, test, folder):
    test(other)
    after_a_test = test(model, str(folder))
    assert after_a_test["mce"] != 100
    assert test(model, store(other)) == after_a_test
    assert test(model, BaselineNetwork(network=lambda: other.network)) == after_a_test


def test_a_defence_is_not_put_before_the_baseline(model, store, test, folder):
    test(model)
    defense = InputDefense(BitDepth(1))
    found = test(model, str(folder), defense)
    assert found["mce"] != 100
    assert test(model, store(model), defense) == found


def test_ranks_do_not_matter(model, other, store, test):
    whole = test(model, store(other))
    ranks = test(model, store(other), **TWO)
    for name in {name for name in whole if not name.startswith("test/")}:
        assert ranks[name] == pytest.approx(whole[name]), name


def test_it_stays_as_it_was_and_leaves_no_trace(model, other, test):
    class Watched(VanillaConvNet):
        def forward(self, images):
            seen.append((self.training, torch.is_grad_enabled(), any(w.requires_grad for w in self.parameters())))
            return super().forward(images)

    seen, made, before = [], Watched(width=8), other.network.state_dict()
    made.load_state_dict(before)
    names, baseline = set(model.state_dict()), BaselineNetwork(network=lambda: made)
    beside = test(model, baseline)
    assert set(seen) == {(False, False, False)}
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    assert set(model.state_dict()) == names
    assert list(baseline.network.parameters()) == []
    plain = test(model)
    assert {name: beside[name] for name in plain} == plain


def test_a_checkpoint_is_a_network_and_other_paths_are_runs():
    assert repr(baseline_of("runs/a/b/checkpoints/best.ckpt")) == "runs/a/b/checkpoints/best.ckpt"
    assert isinstance(baseline_of("runs/a/b/checkpoints/best.ckpt"), BaselineNetwork)
    assert isinstance(baseline_of("runs/a/b"), EarlierRun)


def test_missing_files_are_refused(model, store, test):
    with pytest.raises(FileNotFoundError, match="there is no baseline gone.ckpt: train one first, .* --name baseline"):
        test(model, "gone.ckpt")
    checkpoint = Path(store(model))
    (checkpoint.parent.parent / "config.yaml").unlink()
    with pytest.raises(FileNotFoundError, match=r"no .*config.yaml, which .*: give BaselineNetwork the option network"):
        test(model, str(checkpoint))


def test_embeddings_are_refused(model, store, test):
    checkpoint = store(model, criterion={"class_path": "criteria.GraphSmoothness"})
    with pytest.raises(ValueError, match="gives embeddings, not class scores: test its run on corrupted images and"):
        test(model, checkpoint)


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (lambda: VanillaConvNet(num_classes=7), r"scores of shape \(100, 7\), and the tested network \(100, 10\)"),
        (lambda: VanillaConvNet(image_size=64), r"images of \(3, 32, 32\) \(VanillaConvNet was built for images of 64"),
        (lambda: VanillaConvNet(mean=[0.5], std=[0.5]), r"takes images of shape \(N, 1, H, W\).*trained on images of"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(5, 10)), "mat1 and mat2 shapes cannot be multiplied"),
        (lambda: nn.Flatten(0), r"scores of shape \(307200,\), and the tested"),
    ],
)
def test_networks_for_other_data_are_refused(model, test, network, sentence):
    with pytest.raises(ValueError, match=f"CorruptionError: baseline=the given network .*{sentence}"):
        test(model, BaselineNetwork(network=network))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({}, "got neither of the options"), ({"checkpoint": "a.ckpt", "network": VanillaConvNet}, "got both of the op")],
)
def test_one_network_must_be_given(options, sentence):
    with pytest.raises(ValueError, match=f"BaselineNetwork needs one network, but {sentence}"):
        BaselineNetwork(**options)
