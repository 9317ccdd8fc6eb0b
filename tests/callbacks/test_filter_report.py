"""The report on filters: its numbers against the pure functions, its curve after a resume, and two ranks."""

import pytest
import torch
from lightning import Callback, Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from callbacks import FilterReport, Report, RePr
from callbacks.chosen_images import draw
from callbacks.filter_sections import orthogonality_section, random_sum
from datamodules import Digits
from lightning_modules import Classifier
from pruning import Evidence, entries, filter_correlations, find_sites, orthogonality_sum, remove
from tests.callbacks.pruning_runs import EPOCHS, TwoLayers, fit, momentum
from tests.lightning_modules.test_resume import Crash

pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # of checkpoints' callbacks

BLANK = torch.zeros(1, 3, 32, 32)


class Follow(Callback):
    """Notes after each epoch what the pure function says."""

    def __init__(self):
        self.sums = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.sums.append(orthogonality_sum(pl_module.network, find_sites(pl_module.network, BLANK).sites))


def test_the_curve_is_noted_and_logged(tmp_path):
    report, follow = FilterReport(), Follow()
    trainer = fit(tmp_path, report, follow)
    assert report.sums.keys() == {"layers.0", "layers.3"}
    for name, points in report.sums.items():
        assert points == [[epoch, sums[name]] for epoch, sums in enumerate(follow.sums)]
    logged = trainer.callback_metrics["filters/orthogonality"]
    assert float(logged) == pytest.approx(sum(follow.sums[-1].values()))


CRASHES = [
    ("on_train_batch_end", 2, 2),
    ("on_validation_start", 2, None),  # behind the very last step of an epoch, which Lightning does not end again
    ("on_validation_end", 2, None),
    ("on_train_epoch_end", 2, None),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The curves of an uninterrupted training."""
    report = FilterReport()
    fit(tmp_path_factory.mktemp("whole"), report)
    return report.sums


@pytest.mark.parametrize("crash", CRASHES, ids=str)
@pytest.mark.parametrize("every_step", [False, True])
def test_a_resumed_run_continues_the_curve(crash, every_step, whole, tmp_path):
    broken, resumed = FilterReport(), FilterReport()
    with pytest.raises(InterruptedError):
        fit(tmp_path / "broken", broken, Crash(*crash), every_step=every_step)
    fit(tmp_path / "broken", resumed, ckpt_path=tmp_path / "broken" / "last.ckpt", every_step=every_step)
    assert [epoch for epoch, _ in resumed.sums["layers.0"]] == list(range(EPOCHS))
    assert resumed.sums == whole


def test_a_second_training_begins_a_new_curve(tmp_path):
    report = FilterReport()
    for _ in range(2):
        fit(tmp_path, report, max_epochs=2)
    assert [epoch for epoch, _ in report.sums["layers.0"]] == [0, 1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Of a network that knows something."""
    folder = tmp_path_factory.mktemp("trained")
    fit(folder, FilterReport(), limit_train_batches=1.0, max_epochs=4)
    return folder / "last.ckpt"


def examine(report, *callbacks, network=None, ckpt_path=None, data=None, **options):
    """Test a network with a report on its filters; returns the trainer."""
    defaults = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = Trainer(callbacks=[report, *callbacks], **defaults | options)
    model = Classifier(network or TwoLayers(), optimizer=momentum)
    trainer.test(model, data or Digits(eval_batch_size=70), ckpt_path=ckpt_path, verbose=False)
    return trainer


def images_looked_at(count):
    data = Digits(eval_batch_size=1000)
    data.prepare_data()
    data.setup("test")
    images, labels = next(iter(data.test_dataloader()))
    chosen = draw(count, len(labels))
    return images[chosen], labels[chosen]


def right(network, images, labels):
    with torch.no_grad():
        return int((network(images).argmax(1) == labels).sum())


def test_the_findings_are_those_of_the_pure_functions(checkpoint):
    report = FilterReport(images=100)
    network = examine(report, ckpt_path=checkpoint).lightning_module.network.eval()
    images, labels = images_looked_at(100)
    sites = find_sites(network, BLANK).sites
    correlations = filter_correlations(network, sites, Evidence([[images, labels]]))
    assert report.findings.images == 100
    for name, values in correlations.items():
        torch.testing.assert_close(report.findings.correlations[name], values, rtol=0, atol=1e-5)
    for site in sites:
        for row in range(site.filters):
            without = TwoLayers().eval()
            without.load_state_dict(network.state_dict())
            remove(without, entries([site], {site.name: torch.arange(site.filters) == row}))
            lost = right(network, images, labels) - right(without, images, labels)
            assert report.findings.drops[site.name][row] == lost / 100


@pytest.mark.parametrize("options", [{"inference_mode": False}, {"precision": "bf16-mixed"}], ids=str)
def test_it_looks_in_full_precision_and_in_any_mode(options, checkpoint):
    plain, other = FilterReport(images=80), FilterReport(images=80)
    examine(plain, ckpt_path=checkpoint)
    examine(other, ckpt_path=checkpoint, **options)
    assert_same(plain.findings, other.findings)


def assert_same(one, other):
    assert one.images == other.images
    for name, values in one.correlations.items():
        torch.testing.assert_close(other.correlations[name], values, rtol=0, atol=1e-6)
        assert torch.equal(one.drops[name], other.drops[name])


class Compare(Callback):
    """Asserts inside the workers."""

    def __init__(self, report, expected):
        self.report, self.expected = report, expected

    def on_test_end(self, trainer, pl_module):
        assert trainer.world_size == 2
        assert_same(self.report.findings, self.expected)


@pytest.mark.parametrize("images", [1000, 201])
def test_two_ranks_equal_one_process(images, checkpoint, tmp_path):
    """One process sees 201 images in the order in which two ranks with batches of 101 see them."""
    alone, together = FilterReport(images), FilterReport(images)
    examine(alone, ckpt_path=checkpoint, data=Digits(eval_batch_size=202))
    compare = Compare(together, alone.findings)
    data = Digits(eval_batch_size=101)
    examine(together, compare, ckpt_path=checkpoint, data=data, devices=2, strategy="ddp_fork")
    assert alone.findings.images == min(images, 360)


def test_the_curve_of_two_ranks(tmp_path):
    class Agree(Callback):
        def on_train_end(self, trainer, pl_module):
            curves = [None, None]
            torch.distributed.all_gather_object(curves, report.sums)
            assert curves[0] == curves[1]
            assert len(curves[0]["layers.0"]) == 2

    report = FilterReport()
    fit(tmp_path, report, Agree(), max_epochs=2, devices=2, strategy="ddp_fork")


def test_limits(checkpoint):
    report = FilterReport(images=50, max_layers=1, drops=False)
    trainer = examine(report, ckpt_path=checkpoint)
    assert report.findings.filters == {"layers.0": 6}
    (section,) = report.report_sections(trainer, trainer.lightning_module)
    html = section.html()
    assert section.title == "Filter correlations"
    assert "over 50 test images" in html
    assert "Shown: 1 of 2 layers" in html
    assert "0.3 is even below chance" in html


def test_numbers_in_the_sections(checkpoint):
    report = FilterReport(images=200)
    trainer = examine(report, ckpt_path=checkpoint)
    correlations, drops = report.report_sections(trainer, trainer.lightning_module)
    values = report.findings.correlations["layers.3"]
    pairs = [float(values[a, b]) for a in range(10) for b in range(a)]
    row = correlations.blocks[-1].rows[1]
    assert row[:3] == ["layers.3", 10, 10]
    assert row[3] == pytest.approx(sum(pairs) / 45)
    assert row[4] == pytest.approx(sorted(pairs)[22])
    assert row[5] == pytest.approx(sum(pair > 0.3 for pair in pairs) / 45)
    lost = report.findings.drops
    free = {name: sum(float(drop) <= 0 for drop in values) for name, values in lost.items()}
    name, filters, mean, largest, singly = drops.blocks[-1].rows[0]
    assert (name, filters, singly) == ("layers.0", 6, free["layers.0"])
    assert (mean, largest) == pytest.approx((100 * float(lost[name].mean()), 100 * float(lost[name].max())))
    assert f"{sum(free.values())} of 16 filters can be removed singly" in drops.html()
    assert "one image is 0.5 points" in drops.html()
    assert drops.cards[0].value == f"{sum(free.values())} of 16"


def test_overlap_beside_random_filters():
    generator = torch.Generator().manual_seed(0)
    filters = nn.functional.normalize(torch.randn(400, 48, generator=generator))
    overlap = (filters @ filters.T).abs().sum() - 400
    assert random_sum(400, 48) == pytest.approx(float(overlap), rel=0.02)
    section = orthogonality_section({"conv": [[0, 60.0], [1, 30.0]]}, {"conv": (4, 48)})
    _, columns = section.blocks
    assert columns.blocks[1].rows[0][:4] == ["conv", 4, 5.0, 2.5]  # 12 pairs
    assert columns.blocks[1].rows[0][4] == pytest.approx((2 / (torch.pi * 48)) ** 0.5)
    (line,) = columns.blocks[0].drawing.axes[0].lines
    assert line.get_ydata() == pytest.approx([60 / random_sum(4, 48), 30 / random_sum(4, 48)])
    assert "it was 60.0 after epoch 1 and 30.0 after epoch 2" in section.html()


def test_one_filter_overlaps_with_nobody():
    section = orthogonality_section({"conv": [[0, 0.0]]}, {"conv": (1, 27)})
    assert "<td>conv</td><td class=number>1</td><td class=number>–</td>" in section.html()


class Sneaky(nn.Module):
    """Its path depends on the images."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 10, 3), nn.Linear(10, 10)

    def forward(self, images):
        maps = self.conv(images)
        return self.linear((maps if maps.sum() > 0 else -maps).mean((2, 3)))


NETWORKS = {
    "can't be followed": (Sneaky, "can't be followed: its forward pass reads values"),
    "has no convolutions": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), "has no convolutions"),
}


@pytest.mark.parametrize(("make", "reason"), NETWORKS.values(), ids=NETWORKS)
def test_a_network_whose_filters_are_unknown_is_trained_and_tested_all_the_same(make, reason, tmp_path):
    report = FilterReport()
    with pytest.warns(UserWarning, match=reason):
        trainer = fit(tmp_path, report, network=make(), max_epochs=2)
    assert reason in report.report_sections(trainer, trainer.lightning_module)[0].html().replace("&#x27;", "'")
    assert "filters/orthogonality" not in trainer.callback_metrics
    with pytest.warns(UserWarning, match=reason):
        trainer = examine(report, network=make())
    assert "test/acc" in trainer.callback_metrics
    (section,) = report.report_sections(trainer, trainer.lightning_module)
    assert reason in section.html().replace("&#x27;", "'")


@pytest.mark.parametrize(("options", "sentence"), [({"images": 1}, "images=1 "), ({"max_layers": 0}, "max_layers=0 ")])
def test_refuses(options, sentence):
    with pytest.raises(ValueError, match=f"FilterReport: {sentence}must be at least"):
        FilterReport(**options)


class Dropper(Callback):
    """Has removed filters, and says nothing of it in the report."""

    def __init__(self):
        self.pruned_history = [{"cycle": 0, "position": 1, "removed": {"layers.3": [1, 2]}}]


def run(trainer, *callbacks, epochs=2):
    model = Classifier(TwoLayers(), optimizer=momentum)
    runner = trainer(*callbacks, Report(), limit_train_batches=3, log_every_n_steps=1, max_epochs=epochs)
    data = Digits(batch_size=100, eval_batch_size=100)
    runner.fit(model, data)
    runner = trainer(*callbacks, Report())
    runner.test(model, data, verbose=False)


def test_report_and_tensorboard(trainer, folder):
    run(trainer, FilterReport(images=60), Dropper())
    html = (folder / "report.html").read_text()
    for words in ("Filter orthogonality", "Filters that left", "Filter correlations", "filters without loss"):
        assert words in html
    events = EventAccumulator(str(folder)).Reload()
    pictures = {"train/filter_orthogonality", "train/filters_removed", "test/filter_correlations", "test/filter_drops"}
    assert pictures <= set(events.Tags()["images"])
    assert len(events.Scalars("filters/orthogonality")) == 2


def test_what_repr_shows_is_not_shown_again(trainer, folder):
    run(trainer, FilterReport(images=60), RePr(40, 1, 1, 1), epochs=3)
    assert (folder / "report.html").read_text().count("<figcaption>Filters that left") == 1
    assert "train/filters_removed" in EventAccumulator(str(folder)).Reload().Tags()["images"]
