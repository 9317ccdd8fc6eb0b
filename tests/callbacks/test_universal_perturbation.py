"""Universal perturbations, crafted and measured inside Lightning's test loop."""

import copy
import json

import pytest
import torch
from lightning import Trainer, seed_everything
from torch import nn

import attacks
from attacks import Alternate, ClipBox, EveryNetwork, Single, UniversalGradient, fooling_rates, load_perturbation
from attacks.interpolation import LAMS
from callbacks import FoolingRate, Report, UniversalPerturbation
from datamodules import Digits
from lightning_modules import Classifier
from networks import Resized

DEEPFOOL = attacks.DeepFool(steps=5, min_step=0, box=attacks.NoBox())
CRAFT = {"radius": 0.25, "passes": 2, "fooling_rate": 2, "attack": DEEPFOOL}


def network(width=32):
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, width), nn.ReLU(), nn.Linear(width, 10))


def train(seed, width):
    seed_everything(seed, verbose=False)
    model = Classifier(network(width), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(accelerator="cpu", max_epochs=8, enable_model_summary=False, **quiet).fit(model, Digits(batch_size=64))
    return model.eval()


@pytest.fixture(scope="module")
def pair():
    return train(0, 32), train(1, 24).network


@pytest.fixture
def run(trainer, folder):
    """Tests with some callbacks, and gives the figures of ``metrics.json``."""

    def test(model, *callbacks, eval_batch_size=100, **options):
        seed_everything(7, verbose=False)
        trainer(Report(), *callbacks, **options).test(model, Digits(eval_batch_size=eval_batch_size), verbose=False)
        return json.loads((folder / "metrics.json").read_text())["test"]

    return test


def images_of(part, count=None):
    data = Digits(eval_batch_size=360)
    data.setup("fit" if part == "train" else "test")
    loader = data.plain_dataloader("train", count) if part == "train" else data.test_dataloader()
    return torch.cat([batch[0] for batch in loader])


def callback(other, **options):
    defaults = {"networks": {"other": other}, "images": 60, "attack": attacks.UniversalPerturbation(**CRAFT)}
    return UniversalPerturbation(**defaults | options)


def test_the_matrix_is_the_one_by_hand(pair, run, folder):
    model, other = pair
    schedules = [Single(), EveryNetwork(), Alternate()]
    found = run(model, callback(other, schedule=schedules, scan=True))
    train, held_out, networks = images_of("train", 60), images_of("test"), [model, other]
    plans = {"trained": [model], "other": [other], "everynetwork": networks, "alternate": networks}
    vectors = {}
    for name, schedule in zip(plans, (Single(), Single(), EveryNetwork(), Alternate()), strict=True):
        crafted = attacks.UniversalPerturbation(schedule, **CRAFT, seed=7)(plans[name], train)
        vectors[name] = crafted.perturbation
        assert torch.equal(load_perturbation(folder / "perturbations" / f"{name}.npz"), crafted.perturbation)
        assert found[f"test/universal/{name}/crafting"] == pytest.approx(float(crafted.fooling_rates[-1].mean()))
    lam = found["test/universal/interpolation/lambda"]
    rates = attacks.scan(networks, train, vectors["trained"], vectors["other"]).mean(1)
    assert rates[[round(20 * lam)]] == rates.max()
    vectors["interpolation"] = attacks.interpolate(vectors["trained"], vectors["other"], LAMS[round(20 * lam)])
    for name, vector in vectors.items():
        for kind, box in (("universal", None), ("universal_clipped", ClipBox())):
            rates = fooling_rates(networks, held_out, vector, box).tolist()
            assert found[f"test/{kind}/{name}/trained"] == pytest.approx(rates[0])
            assert found[f"test/{kind}/{name}/other"] == pytest.approx(rates[1])
            assert found[f"test/{kind}/{name}/mean"] == pytest.approx(sum(rates) / 2)
    middle = attacks.interpolate(vectors["trained"], vectors["other"], 0.5)
    assert found["test/universal/interpolation/lambda_0.50/other"] == pytest.approx(
        float(fooling_rates([other], held_out, middle))
    )
    assert found["test/universal/alternate/mean"] > 0.2
    page = (folder / "report.html").read_text()
    assert "was added to 360 test images" in page
    assert page.count("sees under it.") == 5
    assert "Interpolations between two perturbations" in page


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed"])
def test_crafts_and_measures_in_the_precision_of_the_trainer(precision, pair, run, folder):
    networks, craft = list(copy.deepcopy(pair)), attacks.UniversalPerturbation(**CRAFT | {"passes": 1}, seed=7)
    found = run(networks[0], callback(networks[1], attack=craft, images=12, scan=True), precision=precision)
    plugin = Trainer(accelerator="cpu", precision=precision, logger=False).precision_plugin
    train, held_out = (plugin.convert_input(images) for images in (images_of("train", 12), images_of("test")))
    vectors = [load_perturbation(folder / "perturbations" / f"{name}.npz") for name in ("trained", "other")]
    with plugin.forward_context():
        for vector, network in zip(vectors, networks):
            assert torch.equal(vector, craft([network], train).perturbation)
        lam = found["test/universal/interpolation/lambda"]
        rates = attacks.scan(networks, train, *vectors).mean(1)
        assert rates[round(20 * lam)] == rates.max()
        for kind, box in (("universal", None), ("universal_clipped", ClipBox())):
            rates = fooling_rates(networks, held_out, vectors[0], box).tolist()
            # Batches of another size may round their sums otherwise.
            assert found[f"test/{kind}/trained/trained"] == pytest.approx(rates[0], abs=2 / 360)
            assert found[f"test/{kind}/trained/other"] == pytest.approx(rates[1], abs=2 / 360)


def test_batches_and_ranks_do_not_matter(pair, run):
    model, other = pair
    options = {"schedule": [Single(), EveryNetwork()], "scan": True, "files": {}}
    whole = run(model, callback(other, **options))
    parts = run(model, callback(other, **options), eval_batch_size=37)
    ranks = run(model, callback(other, **options), devices=2, strategy="ddp_fork")
    figures = {name for name in whole if name.startswith("test/universal")}
    assert len(figures) > 60
    for name in figures:
        assert parts[name] == pytest.approx(whole[name], abs=1e-6), name
        assert ranks[name] == whole[name], name


def test_crafted_at_the_end_of_training_and_read_again_in_a_test(pair, trainer, folder):
    _, other = pair
    seed_everything(0, verbose=False)
    model = Classifier(network(), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9))
    quick = UniversalGradient(radius=0.25, passes=3, step=0.05)
    both = {"attack": quick, "after_fit": True, "images": 0, "validation": True}
    trainer(Report(), callback(other, **both), max_epochs=4).fit(model, Digits())
    vector = load_perturbation(folder / "perturbations" / "trained.npz", (3, 32, 32))
    assert "The perturbations, amplified." in (folder / "report.html").read_text()
    trainer(Report(), callback(other, **both)).test(model, Digits(), verbose=False)
    found = json.loads((folder / "metrics.json").read_text())["test"]
    rate = float(fooling_rates([model.eval()], images_of("test"), vector))
    assert found["test/universal/trained/trained"] == pytest.approx(rate)
    assert rate > 0.3
    assert not any("other" in name for name in model.state_dict())


def test_without_a_logger_files_go_where_the_report_goes(pair, tmp_path):
    quick = UniversalPerturbation(attack=UniversalGradient(radius=0.2, passes=1), images=20)
    options = {"logger": False, "default_root_dir": tmp_path / "root", "accelerator": "cpu"}
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False}
    Trainer(callbacks=[Report(), quick], **options, **quiet).test(pair[0], Digits(), verbose=False)
    assert (tmp_path / "root" / "report.html").exists()
    assert (tmp_path / "root" / "perturbations" / "trained.npz").exists()
    assert not (tmp_path / "perturbations").exists()


def test_files_are_measured_beside_attacks_and_beside_crafts(pair, run, tmp_path):
    model, _ = pair
    vector = 0.25 * torch.randn(3, 32, 32).sign()
    path = str(tmp_path / "noise.safetensors")
    attacks.save_perturbation(vector, path)
    beside = FoolingRate([attacks.FGSM(eps=0.05)], perturbations=[path], budgets=[0.01, 0.05], images=0)
    found = run(model, beside, UniversalPerturbation(schedule=[], files={"random": path}))
    held_out = images_of("test")
    clipped = float(fooling_rates([model], held_out, vector, ClipBox()))
    assert found["test/noise/fooling_rate"] == pytest.approx(clipped)
    assert found["test/universal_clipped/random/trained"] == pytest.approx(clipped)
    assert found["test/universal/random/trained"] == pytest.approx(float(fooling_rates([model], held_out, vector)))
    assert "test/noise/radius_median" not in found
    assert "test/fgsm/radius_median" in found
    attacks.save_perturbation(vector[:, :8], tmp_path / "small.npz")
    with pytest.raises(ValueError, match=r"shape \(3, 8, 32\), the images have \(3, 32, 32\)"):
        run(model, FoolingRate([], perturbations=[str(tmp_path / "small.npz")]))
    with pytest.raises(ValueError, match=r"shape \(3, 8, 32\), the images have \(3, 32, 32\)"):
        run(model, UniversalPerturbation(schedule=[], files={"small": str(tmp_path / "small.npz")}))


def test_networks_of_another_size_need_a_resize(pair, run):
    model, _ = pair
    half = nn.Sequential(nn.Flatten(), nn.Linear(768, 10))  # of 16x16
    quick = {"attack": UniversalGradient(radius=0.2, passes=1), "schedule": EveryNetwork()}
    with pytest.raises(ValueError, match="put a resize before this one"):
        run(model, callback(half, **quick))
    found = run(model, callback(Resized(half, 16), **quick))
    assert found["test/universal/everynetwork/other"] >= 0


def test_makers_are_called_late_and_use_no_random_number(run, pair):
    made = []

    def make():
        made.append(torch.rand(1))
        return network()

    quick = UniversalGradient(radius=0.2, passes=1)
    callback = UniversalPerturbation([make], attack=quick, images=20)
    assert not made
    found = run(pair[0], callback, precision="bf16-mixed")
    assert len(made) == 1
    assert "test/universal/network_1/trained" in found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"images": -1}, "images=-1 must be 0 or more"),
        ({"schedule": []}, "schedule is empty and there are no files"),
        ({"networks": {"trained": network}}, "another network is called trained"),
        ({"together": ["nobody"], "schedule": EveryNetwork()}, "together names nobody, but the networks are trained"),
        ({"scan": True}, "give a second network"),
        ({"schedule": [EveryNetwork(), EveryNetwork()]}, "share a name"),
        ({"files": {"trained": "v.npz"}}, "share a name"),
    ],
)
def test_refuses_impossible_options(options, words):
    with pytest.raises(ValueError, match=words):
        UniversalPerturbation(**options)


def test_refuses_to_craft_without_training_images(pair, trainer):
    loader = torch.utils.data.DataLoader([(torch.rand(3, 32, 32), 0)] * 4, batch_size=2)
    with pytest.raises(ValueError, match="which it finds in a datamodule"):
        trainer(UniversalPerturbation()).test(pair[0], dataloaders=loader, verbose=False)
    with pytest.raises(ValueError, match="data.val_size is 0"):
        trainer(UniversalPerturbation(validation=True)).test(pair[0], Digits(val_size=0), verbose=False)
