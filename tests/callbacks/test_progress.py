"""Plain lines for logs."""

import re

import pytest
from lightning import Callback

from callbacks import PlainProgress


class Own(Callback):
    """A technique that shows a number of its own."""

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.log("repr/pruned", float(trainer.current_epoch), prog_bar=True)


def test_one_line_per_epoch_and_per_test(capsys, classifier, trainer, digits):
    runner = trainer(PlainProgress(), Own(), max_epochs=10, log_every_n_steps=1, enable_progress_bar=True)
    runner.fit(classifier(), datamodule=digits())
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 10
    for epoch, line in enumerate(lines):
        figures = rf"repr/pruned {epoch}   train/acc [\d.]+   val/acc [\d.]+"
        assert re.fullmatch(rf"epoch {epoch + 1:>2}/10   0:00:\d\d   {figures}", line), line
    seen = runner.callback_metrics
    assert lines[-1].endswith(f"train/acc {float(seen['train/acc']):.4g}   val/acc {float(seen['val/acc']):.4g}")


def test_one_line_per_test(capsys, classifier, trainer, digits):
    runner = trainer(PlainProgress(), enable_progress_bar=True)
    runner.test(classifier(), datamodule=digits(), verbose=False)
    runner.validate(classifier(), datamodule=digits(), verbose=False)
    tested, validated = capsys.readouterr().out.strip().splitlines()
    assert re.fullmatch(r"test   0:00:\d\d   test/acc [\d.]+", tested)
    assert re.fullmatch(r"validate   0:00:\d\d   val/acc [\d.]+", validated)


def test_other_ranks_are_silent(capsys, classifier, trainer, digits):
    progress = PlainProgress()
    progress.disable()
    trainer(progress, enable_progress_bar=True).test(classifier(), datamodule=digits(), verbose=False)
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore:It is recommended to use .self.log")
def test_two_ranks_print_once(capfd, classifier, trainer, digits):
    options = {"devices": 2, "strategy": "ddp_fork", "use_distributed_sampler": False}
    trainer(PlainProgress(), enable_progress_bar=True, **options).fit(classifier(), datamodule=digits())
    printed = capfd.readouterr().out
    assert printed.count("epoch 1/2") == printed.count("epoch 2/2") == 1
