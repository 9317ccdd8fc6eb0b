"""One self-contained report per run, whatever happens to the run."""

import json
import re
import sys

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from callbacks import Card, Predictions, Report, Section, Table, Text
from callbacks.report import summary
from callbacks.reporting.history import note, scalars
from callbacks.reporting.own_sections import curves_section, results_section
from callbacks.reporting.run_folder import RunFolder, fingerprint, finite

NAMES = ["<script>alert(1)</script>", *"123456789"]


def read(folder):
    return (folder / "report.html").read_text(), json.loads((folder / "metrics.json").read_text())


def test_headline_numbers_as_text():
    cards = [Card("Test accuracy", "99.2 %", "360 images"), Card("Fooled", "43.1 %")]
    assert summary(cards) == "Test accuracy  99.2 %  360 images\nFooled         43.1 %"
    assert summary([]) == ""


def test_figures_of_plug_ins_are_folded():
    record = {"test": {"test/acc": 0.5, "test/pgd/fooling_rate": 0.25}, "environment": {"test": {"date": "2026-01-02"}}}
    columns, listing = results_section(record).blocks
    assert [row[0] for row in columns.blocks[0].rows] == ["test/acc"]
    assert listing.text == "test/pgd/fooling_rate  0.2500"


class Technique(Callback):
    """Adds a number, a section and a headline."""

    def __init__(self, text="found <nothing>"):
        self.text = text

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.log("repr/overlap", 0.5 - 0.1 * trainer.current_epoch)

    def on_test_epoch_end(self, trainer, pl_module):
        pl_module.log("test/fooling_rate", 0.43125)
        pl_module.log("test/undefined", float("nan"))

    def report_sections(self, trainer, pl_module):
        return [Section("Fooling rate", [Text(self.text)], order=25, cards=[Card("Fooled", "43.1 %", "eps 8/255")])]


@pytest.fixture
def run(classifier, trainer, digits, folder):
    """The files of a run that was fitted and tested."""
    data = digits()
    data.classes = NAMES
    (folder).mkdir(parents=True)
    (folder / "config.yaml").write_text(
        "data:\n  root: /home/somebody/pictures/digits  # see https://example.org/a/b\n"
    )
    runner = trainer(Report(), Predictions(samples=3), Technique())
    model = classifier()
    runner.fit(model, datamodule=data)
    runner.test(model, datamodule=data, verbose=False)
    return read(folder)


def test_the_report_is_one_file(run):
    page, _ = run
    for reference in re.findall(r"""(?:src|href|url|@import)\s*[=(\s]\s*["']?([^"')>\s]+)""", page):
        assert reference.startswith(("data:image/", "#")), reference
    assert "<script" not in page
    assert "<link" not in page
    assert len(page) < 500_000


def test_the_report_has_everything(run):
    page, record = run
    for title in ("Results", "Curves", "Fooling rate", "Confusion matrix", "Sample predictions", "Environment"):
        assert f">{title}" in page
    for name in record["test"]:
        assert f"<td>{name}</td>" in page
    for name in ("Loss", "Accuracy", "Learning rate", "repr/overlap"):
        assert re.search(rf"<text[^>]*>{name}</text>", page)
    assert torch.__version__ in page
    assert "<details><summary>config.yaml</summary>" in page
    assert page.count("<img") == 6
    assert "&lt;script&gt;" in page
    assert "found &lt;nothing&gt;" in page
    assert "<strong>43.1 %</strong>" in page
    assert re.search(r"95\s% interval [\d.]+\sto\s[\d.]+\s%, 360\simages", page)


def test_the_report_tells_nothing_about_the_machine(run, tmp_path):
    page, record = run
    assert "somebody" not in page
    assert "…/digits" in page
    assert "https://example.org/a/b" in page
    for text in (page, json.dumps(record)):
        assert str(tmp_path) not in text
        assert "/work" not in text


def test_metrics(run):
    _, record = run
    assert set(record) == {"fit", "test", "history", "best", "status", "environment"}
    assert record["test"]["test/fooling_rate"] == pytest.approx(0.43125)
    assert record["test"]["test/undefined"] is None
    assert record["fit"]["val/acc"] == record["history"]["val/acc"][-1][1]
    assert record["best"]["path"] == "checkpoints/best.ckpt"
    assert record["best"]["score"] == max(value for _, value in record["history"]["val/acc"])
    assert record["history"]["lr"] == [[0, 0.1], [1, 0.1]]
    assert record["history"]["repr/overlap"] == [[0, 0.5], [1, pytest.approx(0.4)]]
    assert {name: len(series) for name, series in record["history"].items()} == dict.fromkeys(record["history"], 2)
    assert not [name for name in record["history"] if name.endswith("_step")]
    environment = record["environment"]["test"]
    assert environment["images"] == 360
    assert environment["versions"]["python"] == sys.version.split()[0]
    assert record["status"] == {"fit": "finished", "test": "finished"}


def test_a_later_test_keeps_what_fit_wrote(run, classifier, trainer, digits, folder):
    _, before = run
    trainer(Report(), Predictions(samples=3)).test(
        classifier(), datamodule=digits(), ckpt_path=folder / "checkpoints" / "last.ckpt", verbose=False
    )
    page, record = read(folder)
    assert record["history"] == before["history"]
    assert record["fit"] == before["fit"]
    assert record["environment"]["test"]["checkpoint"] == "checkpoints/last.ckpt"
    assert page.count("<svg") == 6
    assert page.count("found &lt;nothing&gt;") == 1


def test_results_of_the_same_weights_add_up(run, classifier, trainer, digits, folder):
    checkpoint = folder / "checkpoints" / "last.ckpt"  # the weights at the end of training, which were tested
    trainer(Report()).test(classifier(), datamodule=digits(), ckpt_path=checkpoint, verbose=False)
    page, record = read(folder)
    assert record["test"]["test/fooling_rate"] == pytest.approx(0.43125)
    assert ">Confusion matrix" in page


def test_results_of_other_weights_replace_the_older_ones(run, classifier, trainer, digits, folder):
    trainer(Report(), Technique("other weights")).test(classifier(), datamodule=digits(), verbose=False)
    page, record = read(folder)
    assert ">Confusion matrix" not in page
    assert "other weights" in page
    trainer(Report()).test(classifier(num_classes=11), datamodule=digits(), verbose=False)
    page, record = read(folder)
    assert set(record["test"]) == {"test/acc", "test/loss", "test/top5"}
    assert "other weights" not in page


def test_results_before_more_training_are_marked(run, classifier, trainer, digits, folder):
    record = json.loads((folder / "metrics.json").read_text())
    record["environment"]["test"]["date"] = "2000-01-01T00:00:00+00:00"
    (folder / "metrics.json").write_text(json.dumps(record))
    trainer(Report(), max_epochs=3).fit(
        classifier(), datamodule=digits(), ckpt_path=folder / "checkpoints" / "last.ckpt"
    )
    page, record = read(folder)
    assert "Training went on after these results: test." in page
    assert len(record["history"]["val/acc"]) == 3


def history(folder):
    return read(folder)[1]["history"]


class Stop(Callback):
    """Interrupts training in a hook of an epoch."""

    def __init__(self, hook, epoch=1, error=RuntimeError):
        def stop(trainer, *args, **kwargs):
            if trainer.current_epoch == epoch and not trainer.sanity_checking:
                raise error

        setattr(self, hook, stop)


# Of an epoch that was saved between its last batch and its end, Lightning never logs the training figures.
SAVED = {"after the epoch": {"save_on_train_epoch_end": True}, "within an epoch": {"every_n_train_steps": 4}}


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_validation_end"])
def test_an_interrupted_and_resumed_run_has_an_equal_history(
    hook, saved, classifier, trainer, digits, folder, tmp_path
):
    def fit(*callbacks, **options):
        last = ModelCheckpoint(tmp_path, "last", enable_version_counter=False, **SAVED[saved])
        runner = trainer(Report(), Technique(), last, *callbacks, max_epochs=3, log_every_n_steps=1)
        runner.fit(classifier(), datamodule=digits(), **options)

    fit()
    whole = history(folder)
    with pytest.raises(RuntimeError):
        fit(Stop(hook, epoch=2))
    assert [epoch for epoch, _ in history(folder)["train/acc"]] == [0, 1]
    fit(ckpt_path=tmp_path / "last.ckpt")
    assert history(folder) == whole
    assert read(folder)[1]["status"]["fit"] == "finished"


def test_the_saved_history_is_plain_data(classifier, trainer, digits, folder):
    trainer(Report()).fit(classifier(), datamodule=digits())
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["report"]["history"] == history(folder)


def test_validation_every_second_epoch_is_noted_there_only(classifier, trainer, digits, folder):
    trainer(Report(), max_epochs=4, check_val_every_n_epoch=2).fit(classifier(), datamodule=digits())
    assert [epoch for epoch, _ in history(folder)["val/acc"]] == [1, 3]
    assert [epoch for epoch, _ in history(folder)["train/acc"]] == [0, 1, 2, 3]


def test_without_checkpoints_the_history_is_complete_too(classifier, trainer, digits, folder):
    trainer(Report(), max_epochs=3).fit(classifier(), datamodule=digits())
    whole = history(folder)
    logger = CSVLogger(folder, name="other")
    options = {"enable_progress_bar": False, "enable_model_summary": False}
    Trainer(
        accelerator="cpu", max_epochs=3, logger=logger, callbacks=[Report()], enable_checkpointing=False, **options
    ).fit(classifier(), datamodule=digits())
    assert history(folder / "other" / "version_0") == whole


@pytest.mark.parametrize(("error", "raised"), [(RuntimeError, RuntimeError), (KeyboardInterrupt, SystemExit)])
def test_an_interrupted_run_is_reported_as_such(error, raised, classifier, trainer, digits, folder):
    callbacks = Report(), Technique(), Stop("on_train_batch_end", error=error)
    with pytest.raises(raised):
        trainer(*callbacks).fit(classifier(), datamodule=digits())
    page, record = read(folder)
    words = f"interrupted by {error.__name__} in epoch 2"
    assert f'<p class="banner" role="alert">Training was {words}: ' in page
    assert record["status"]["fit"] == words
    assert record["environment"]["fit"]["epochs"] == 1
    assert len(record["history"]["train/loss"]) == 1
    assert "found &lt;nothing&gt;" in page


def test_a_run_that_never_started_leaves_a_report_alone(run, classifier, trainer, digits, folder):
    with pytest.raises(RuntimeError):
        trainer(Report(), Stop("on_fit_start", epoch=0)).fit(classifier(), datamodule=digits())
    assert read(folder) == run


def test_a_failing_section_spoils_nothing(classifier, trainer, digits, folder):
    class Broken(Callback):
        def report_sections(self, trainer, pl_module):
            raise KeyError("missing")

    with pytest.warns(UserWarning, match="Broken could not add to the report: KeyError: 'missing'"):
        trainer(Report(), Broken(), Technique()).test(classifier(), datamodule=digits(), verbose=False)
    page, _ = read(folder)
    assert "This section could not be made (KeyError)" in page
    assert "found &lt;nothing&gt;" in page


def test_validation_alone(classifier, trainer, digits, folder):
    trainer(Report(title="A & B")).validate(classifier(), datamodule=digits(), verbose=False)
    page, record = read(folder)
    assert set(record["validate"]) == {"val/acc", "val/loss", "val/top5"}
    assert "<h1>A &amp; B</h1>" in page
    assert "Curves" not in page


def test_a_plugins_curve_that_never_moved_is_left_out():
    history = {"val/acc": [[0, 0.5], [1, 0.5]], "repr/away": [[0, 0.0], [1, 3.0]], "repr/tier": [[0, 3.0], [1, 3.0]]}
    (columns,) = curves_section({"history": history}).blocks
    assert len(columns.blocks) == 2
    (columns,) = curves_section({"history": history | {"repr/tier": [[0, 3.0]]}}).blocks
    assert len(columns.blocks) == 3


def test_a_trial_run_writes_nothing(classifier, trainer, digits, folder):
    trainer(Report(), fast_dev_run=True).fit(classifier(), datamodule=digits())
    assert not list(folder.rglob("report.html"))


def test_two_ranks_write_one_report(classifier, trainer, digits, folder):
    options = {"devices": 2, "strategy": "ddp_fork", "use_distributed_sampler": False}
    trainer(Report(), **options).test(classifier(), datamodule=digits(), verbose=False)
    _, record = read(folder)
    assert record["environment"]["test"]["images"] == 360
    assert record["environment"]["test"]["run"]["ranks"] == 2


@pytest.mark.filterwarnings("ignore:It is recommended to use .self.log")
def test_two_ranks_note_every_epoch(classifier, trainer, digits, folder):
    options = {"devices": 2, "strategy": "ddp_fork", "use_distributed_sampler": False}
    trainer(Report(), Technique(), **options).fit(classifier(), datamodule=digits())
    assert {len(series) for series in history(folder).values()} == {2}
    assert read(folder)[1]["best"]["path"] == "checkpoints/best.ckpt"


def test_equal_titles_of_two_stages_are_told_apart(classifier, trainer, digits, folder):
    trainer(Report(), Technique("in training")).fit(classifier(), datamodule=digits())
    trainer(Report(), Technique("in the test")).test(classifier(), datamodule=digits(), verbose=False)
    page, _ = read(folder)
    for stage in ("fit", "test"):
        assert f'<a href="#{stage}-fooling-rate">Fooling rate ({stage})</a>' in page
        assert f'<section id="{stage}-fooling-rate">' in page
    assert page.count("<strong>43.1 %</strong>") == 1  # the same headline


def test_a_broken_record_is_written_anew(classifier, trainer, digits, folder):
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text('{"fit": ')
    with pytest.warns(UserWarning, match="no valid JSON"):
        trainer(Report()).test(classifier(), datamodule=digits(), verbose=False)
    assert read(folder)[1]["status"] == {"test": "finished"}


def test_files_are_replaced_as_a_whole(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.write_page("old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        folder.write_page("new")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "old"


def test_sections_of_a_stage_replace_each_other(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_sections("fit", [Section("A", [Text("old")]), Section("B", [Text("b")], order=10)])
    folder.write_sections("fit", [Section("A", [Table(["x"], [[1]])])])
    folder.write_sections("test", [Section("B", [Text("b")], order=10), Section("A", [Text("of the test")])])
    found = [(section.stage, section.title) for section in folder.read_sections()]
    assert found == [("fit", "B"), ("fit", "A"), ("test", "A")]  # the test's B says nothing new
    folder.drop_sections("fit")
    assert [(section.stage, section.title) for section in folder.read_sections()] == [("test", "B"), ("test", "A")]


def test_notes():
    history = {}
    note(history, 0, {"a": 1.0})
    note(history, 0, {"a": 2.0, "b": 3.0})
    note(history, 1, {"a": 4.0})
    assert history == {"a": [[0, 2.0], [1, 4.0]], "b": [[0, 3.0]]}


def test_scalars():
    names = ("loss", "loss_step", "loss_epoch", "only_epoch")
    assert scalars({name: torch.tensor(1.0) for name in names}) == {"loss": 1.0, "only_epoch": 1.0}


def test_finite():
    nan, inf = float("nan"), float("inf")
    assert finite({"a": [nan, (1.0, inf)], "b": {"c": -inf, "d": 2}}) == {
        "a": [None, [1.0, None]],
        "b": {"c": None, "d": 2},
    }


def test_fingerprint(classifier):
    first, second = classifier().state_dict(), classifier().state_dict()
    assert fingerprint(first) == fingerprint(second)
    next(iter(second.values())).view(-1)[0] += 1
    assert fingerprint(first) != fingerprint(second)
    assert re.fullmatch(r"[0-9a-f]{12}", fingerprint({name: value.half() for name, value in first.items()}))
