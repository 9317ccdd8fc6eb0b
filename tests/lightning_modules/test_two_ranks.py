"""Two gloo ranks on the CPU: equal weights, exact figures, and the training of one process with the joint batch."""

import json

import pytest
import torch
from lightning import Callback, Trainer, seed_everything
from torch import nn
from torch.multiprocessing.spawn import ProcessRaisedException

from datamodules import Digits, RandomCrop
from lightning_modules import Classifier
from tests.callbacks.pruning_runs import fit as checkpointed_fit
from tests.lightning_modules.test_resume import Crash

OPTIONS = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
TWO = {"devices": 2, "strategy": "ddp_fork"}
ONE = {"devices": 1}


class Linear(nn.Module):
    """Without batch statistics, so that two ranks can equal one process."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))

    def forward(self, images):
        return self.layers(images)


class WithStatistics(nn.Module):
    """With buffers, whose exchange between the ranks needs equally many steps on each."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(256, 10))

    def forward(self, images):
        return self.layers(images)


class SameWeights(Callback):
    """Asserts, inside the workers, that both ranks ended with the same parameters."""

    def on_train_end(self, trainer, pl_module):
        for name, parameter in pl_module.named_parameters():
            ranks = trainer.strategy.all_gather(parameter.detach())
            assert torch.equal(ranks[0], ranks[1]), name


class Write(Callback):
    """Brings figures and weights out of the workers."""

    def __init__(self, path):
        self.path = path

    def on_train_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            torch.save(pl_module.state_dict(), self.path)

    def on_test_end(self, trainer, pl_module):
        counts = trainer.strategy.reduce(pl_module.test_tally.counts.clone(), reduce_op="sum")
        if trainer.is_global_zero:
            figures = {name: value.item() for name, value in trainer.callback_metrics.items()}
            self.path.write_text(json.dumps({"figures": figures, "counts": counts.tolist()}))


def classifier(network):
    seed_everything(0)
    return Classifier(network(), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9))


def fit(network, path, ranks, batch_size):
    data = Digits(batch_size=batch_size, augmentations=[RandomCrop(3)], drop_last=True)
    callbacks = [Write(path), *([SameWeights()] if ranks is TWO else [])]
    Trainer(max_epochs=2, callbacks=callbacks, **OPTIONS, **ranks).fit(classifier(network), data)
    return torch.load(path)


def test_two_ranks_train_like_one_process_with_the_joint_batch(tmp_path):
    one = fit(Linear, tmp_path / "one", ONE, 64)
    two = fit(Linear, tmp_path / "two", TWO, 32)
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=0, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}")


def test_ranks_agree_with_batch_statistics(tmp_path):
    fit(WithStatistics, tmp_path / "weights", TWO, 32)


@pytest.mark.parametrize("eval_batch_size", [7, 100, 359, 500])
def test_figures_of_two_ranks_are_those_of_one_process(eval_batch_size, tmp_path):
    results = []
    for ranks in (ONE, TWO):
        trainer = Trainer(callbacks=[Write(tmp_path / "figures")], **OPTIONS, **ranks)
        trainer.test(classifier(WithStatistics), Digits(eval_batch_size=eval_batch_size), verbose=False)
        results.append(json.loads((tmp_path / "figures").read_text()))
    one, two = results
    assert one["counts"][1:] == two["counts"][1:]
    assert one["counts"][3] == 360
    for name in ("test/acc", "test/top5"):
        assert one["figures"][name] == two["figures"][name]
    assert one["figures"]["test/loss"] == pytest.approx(two["figures"]["test/loss"], rel=1e-6)


def test_resumed_on_two_ranks_equals_uninterrupted(tmp_path):
    """With batch statistics, dropout and random crops, which differ between the ranks."""

    def run(name, *callbacks, **options):
        data, write = Digits(batch_size=50, augmentations=[RandomCrop(3)]), Write(tmp_path / f"{name}.pt")
        checkpointed_fit(tmp_path / name, write, *callbacks, data=data, max_epochs=2, every_step=True, **TWO, **options)

    run("whole")
    with pytest.raises(ProcessRaisedException, match="InterruptedError"):
        run("broken", Crash("on_train_batch_end", 1, 2))
    run("broken", ckpt_path=tmp_path / "broken" / "last.ckpt")
    whole, resumed = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "broken"))
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
