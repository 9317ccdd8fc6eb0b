"""Corrupted test images, inside Lightning's test loop."""

import json

import numpy as np
import pytest
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from callbacks import AlexNet, CorruptionError, EarlierRun, Report
from callbacks.corruption_baselines import ALEXNET, Errors, Trial
from callbacks.corruption_fingerprints import MODULUS, fingerprint
from callbacks.corruption_sections import Comparison, corruption_section
from corruptions import COMMON, ImageNetSeverities, corruption, write_corrupted
from datamodules import Digits
from tests.callbacks.test_fooling_rate import trained

NAMES = ["gaussian_noise", "contrast"]
FEW = {"corruptions": NAMES, "severities": [1, 5]}


@pytest.fixture(scope="module")
def model():
    return trained()


@pytest.fixture
def test(trainer, folder):
    """Tests with the callback, and gives the figures of ``metrics.json`` by their last names."""

    def run(model, callback, eval_batch_size=360, data=None, **options):
        data = data or Digits(eval_batch_size=eval_batch_size)
        trainer(Report(), callback, **options).test(model, data, verbose=False)
        figures = json.loads((folder / "metrics.json").read_text())["test"]
        return {key.removeprefix("test/corruption/"): value for key, value in figures.items()}

    return run


def all_digits():
    data = Digits(eval_batch_size=360)
    data.setup("test")
    return next(iter(data.test_dataloader()))


def test_errors_are_those_of_the_corruptions_by_hand(model, test, folder):
    found = test(model, CorruptionError(**FEW), eval_batch_size=100)
    images, labels = all_digits()
    rates = []
    for name in NAMES:
        for severity in (1, 5):
            corrupted = corruption(name, severity).apply(images, torch.arange(len(images)))
            rates.append((model.eval()(corrupted).argmax(1) != labels).double().mean().item())
            assert found[f"{name}/{severity}"] == pytest.approx(rates[-1])
    assert found["mean_error"] == pytest.approx(sum(rates) / 4)
    assert found["clean"] == pytest.approx(1 - found["test/acc"])
    assert found["images"] == 360
    assert "mce" not in found
    page = (folder / "report.html").read_text()
    assert ">Corruption errors" in page
    assert "under each corruption at severity 5" in page
    assert "not the benchmark's 15 corruptions" in page.replace("&#x27;", "'")


def test_batches_and_ranks_do_not_matter(model, test):
    whole = test(model, CorruptionError(**FEW, images=150))
    assert whole["images"] == 150
    assert test(model, CorruptionError(**FEW, images=150), eval_batch_size=37) == pytest.approx(whole, abs=1e-6)
    ranks = test(model, CorruptionError(**FEW, images=150), eval_batch_size=53, devices=2, strategy="ddp_fork")
    for name in {name for name in whole if not name.startswith("test/")}:
        assert ranks[name] == pytest.approx(whole[name]), name


def test_a_run_beside_itself_has_exactly_100(model, test, folder):
    first = test(model, CorruptionError(**FEW))
    found = test(model, CorruptionError(**FEW, baseline=str(folder)), eval_batch_size=77)
    assert found["mce"] == found["relative_mce"] == 100
    assert {name: found[name] for name in first} == pytest.approx(first)
    part = test(model, CorruptionError(NAMES[:1], [5], baseline=str(folder / "metrics.json")))
    assert part["mce"] == 100
    assert "Relative MCE" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({**FEW, "images": 50}, "another number of images"),
        ({**FEW, "seed": 1}, "corrupted otherwise"),
        ({**FEW, "scale": ImageNetSeverities()}, "corrupted otherwise"),
        ({"corruptions": ["fog"], "severities": [1]}, "lacks 1 errors such as test/corruption/fog/1"),
        ({**FEW, "limit": 1}, "another number of images"),
    ],
)
def test_a_baseline_of_another_trial_is_refused(model, test, folder, options, words):
    test(model, CorruptionError(**FEW))
    limit = {"limit_test_batches": options.pop("limit")} if "limit" in options else {}
    with pytest.raises(ValueError, match=words):
        test(model, CorruptionError(**options, baseline=str(folder)), eval_batch_size=100, **limit)


class OtherDigits(LightningDataModule):
    """The digits from a plain loader, two of them exchanged."""

    def test_dataloader(self):
        images, labels = all_digits()
        order = torch.arange(len(labels))
        order[:2] = order[:2].flip(0)
        return DataLoader(TensorDataset(images[order], labels[order]), batch_size=180)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_baseline_of_other_data_is_refused(model, test, folder):
    test(model, CorruptionError(**FEW))
    own = test(model, CorruptionError(**FEW), data=OtherDigits())  # a plain loader will do
    assert own["images"] == 360
    with pytest.raises(ValueError, match="was tested on other images"):
        test(model, CorruptionError(**FEW, baseline=str(folder)))


def test_runs_that_are_no_baselines(model, test, folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="has no metrics.json"):
        test(model, CorruptionError(**FEW, baseline=str(tmp_path)))
    broken = tmp_path / "metrics.json"
    for content, words in {"{": "no test figures", '{"test": {}}': "not tested on corrupted images"}.items():
        broken.write_text(content)
        with pytest.raises(ValueError, match=words):
            test(model, CorruptionError(**FEW, baseline=str(broken)))


def test_stored_images_are_read(model, test, tmp_path):
    images, labels = all_digits()
    write_corrupted(tmp_path / "c", (images * 255).round().byte(), labels, names=NAMES)
    computed = test(model, CorruptionError(**FEW))
    stored = test(model, CorruptionError(**FEW, stored=str(tmp_path / "c")), eval_batch_size=100)
    for name in NAMES:
        for severity in (1, 5):
            assert stored[f"{name}/{severity}"] == computed[f"{name}/{severity}"]
    assert stored["recipe"] != computed["recipe"]
    np.save(tmp_path / "c" / "labels.npy", np.zeros(5 * 360, dtype=np.uint8))
    with pytest.raises(ValueError, match="whose labels are not those of the test set"):
        test(model, CorruptionError(**FEW, stored=str(tmp_path / "c")))


def test_a_part_of_the_stored_files_stands_beside_all(model, test, folder, tmp_path):
    images, labels = all_digits()
    write_corrupted(tmp_path / "c", (images * 255).round().byte(), labels, names=NAMES)
    stored = {"stored": str(tmp_path / "c"), "severities": [1, 5]}
    both = test(model, CorruptionError(NAMES, **stored))
    (tmp_path / "baseline.json").write_text((folder / "metrics.json").read_text())
    beside = {"baseline": str(tmp_path / "baseline.json")}
    part = test(model, CorruptionError(NAMES[1:], **stored, **beside))
    assert part["mce"] == 100
    assert part["contrast/file"] == both["contrast/file"] != both["gaussian_noise/file"]
    with pytest.raises(ValueError, match="corrupted otherwise"):
        test(model, CorruptionError(NAMES[1:], [1, 5], **beside))
    other = np.load(tmp_path / "c" / "contrast.npy")
    np.save(tmp_path / "c" / "contrast.npy", other ^ 1)
    with pytest.raises(ValueError, match="corrupted otherwise"):
        test(model, CorruptionError(NAMES[1:], **stored, **beside))


def test_fingerprints_add_up_and_notice_everything():
    images, labels = torch.rand(6, 1, 4, 4), torch.arange(6)
    places = torch.arange(6) + 10
    whole = fingerprint(images, labels, places)
    halves = [fingerprint(images[half], labels[half], places[half]) for half in (slice(0, 2), slice(2, 6))]
    assert sum(halves) % MODULUS == whole
    assert float(whole) == torch.tensor(float(whole), dtype=torch.float32)
    assert fingerprint(images.flip(3), labels, places) != whole
    assert fingerprint(images, labels.flip(0), places) != whole
    assert fingerprint(images.flip(0), labels.flip(0), places) != whole
    assert fingerprint(images.double(), labels, places) == whole


def test_alexnet_stands_for_imagenet_alone():
    trial = Trial(list(COMMON), [1, 2, 3, 4, 5], 50_000, 0, 0, imagenet=True)
    theirs = AlexNet().errors(trial)
    assert list(ALEXNET) == list(COMMON)
    assert theirs.corrupted.shape == (15, 5)
    itself = Comparison(trial, theirs, theirs, repr(AlexNet()))
    assert itself.figures()["mce"] == pytest.approx(100)
    assert itself.figures()["relative_mce"] == pytest.approx(100)
    assert "its images were other draws of these corruptions" in corruption_section(itself, None).blocks[0].text
    for change in ({"imagenet": False}, {"images": 1000}, {"severities": [1, 2]}, {"corruptions": ["spatter"]}):
        with pytest.raises(ValueError, match="baseline=AlexNet is published for"):
            CorruptionError(baseline="AlexNet").baseline.errors(Trial(**vars(trial) | change))


def test_stored_images_beside_alexnet_are_refused_with_a_remedy(model, test, tmp_path):
    images, labels = all_digits()
    write_corrupted(tmp_path / "c", (images * 255).round().byte(), labels, names=NAMES)
    with pytest.raises(ValueError, match="leave out stored, whose images may be any, and set scale=ImageNetSeverities"):
        test(model, CorruptionError(**FEW, stored=str(tmp_path / "c"), baseline=AlexNet()))


def test_what_allows_no_ratio_is_said():
    trial = Trial(NAMES, [1, 5], 100, 0, 0)
    table = torch.tensor([[0.2, 0.4], [0.1, 0.1]], dtype=torch.float64)
    errors = Errors(torch.tensor(0.1, dtype=torch.float64), table)
    comparison = Comparison(trial, errors, errors, "runs/x")
    assert comparison.figures()["mce"] == 100
    assert np.isnan(comparison.figures()["relative_mce"])
    section = corruption_section(comparison, None)
    assert "clean error by contrast, so that the ratio means nothing" in section.blocks[0].text
    assert [card.label for card in section.cards] == ["Mean error under corruption", "MCE"]
    unerring = Errors(errors.clean, torch.tensor([[0.2, 0.4], [0, 0]], dtype=torch.float64))
    section = corruption_section(Comparison(trial, errors, unerring, "runs/x"), None)
    assert "MCE undefined" in section.blocks[0].text
    assert "no MCE: the baseline makes no mistake under contrast and no relative MCE" in section.blocks[0].text
    assert [card.label for card in section.cards] == ["Mean error under corruption"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"corruptions": ["rain"]}, "there is no corruption 'rain'"),
        ({"corruptions": []}, "must name at least one"),
        ({"severities": [1, 1]}, "none twice"),
        ({"severities": [0]}, "severity=0 must be an integer from 1"),
        ({"images": -1}, "images=-1 and seed=0 must be 0 or more"),
        ({"stored": "c", "frost": "f"}, "leave out scale and frost"),
    ],
)
def test_refuses_impossible_options(options, words):
    with pytest.raises(ValueError, match=words):
        CorruptionError(**options)


def test_the_path_of_a_run_is_a_baseline():
    assert repr(CorruptionError(baseline="runs/a/b").baseline) == repr(EarlierRun("runs/a/b"))
