"""Defences on attacked test images, inside Lightning's test loop."""

import json
from math import isnan

import pytest
import torch
from lightning import Trainer, seed_everything
from scipy.stats import binomtest

from attacks import FGSM, PGD, AtSize, DeepFool
from callbacks import DestructionRate, InputDefense, Report, Sweep
from callbacks.chosen_images import draw
from callbacks.defense_trials import adapt
from datamodules import Digits
from defenses import (
    BitDepth,
    Defended,
    Defense,
    Identity,
    PixelDeflection,
    RobustActivationMap,
    Sequence,
    WaveletDenoise,
    vote,
)
from lightning_modules import Classifier
from networks import VanillaConvNet

ATTACKS = {"fgsm": FGSM(eps=0.12), "deepfool": AtSize(DeepFool(steps=20), 0.12)}


class Noise(Defense):
    """A random defence that hides a flaw behind fresh noise."""

    random = True

    def restore(self, images, run):
        noise = self.streams(images, run).uniform(images[0].numel()).view_as(images) - 0.5
        return (images + 0.2 * noise.to(images.dtype)).clamp(0, 1)


class Oracle(Defense):
    """Knows the clean images."""

    def __init__(self, images):
        super().__init__()
        self.clean = images

    def restore(self, images, run):
        distances = torch.cdist(images.flatten(1), self.clean.flatten(1))
        return self.clean[distances.argmin(1)]


@pytest.fixture(scope="module")
def model():
    """A small classifier of digits; the rate falls to zero, so that it is a good one on every processor."""
    seed_everything(0, verbose=False)
    made = Classifier(
        VanillaConvNet(3, width=8, global_pool=True),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.2, momentum=0.9),
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.PolynomialLR(optimizer, 6),
    )
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(accelerator="cpu", max_epochs=6, enable_model_summary=False, **quiet).fit(made, Digits(batch_size=32))
    return made.eval()


@pytest.fixture(autouse=True)
def seed():
    seed_everything(0, verbose=False)


@pytest.fixture
def test(trainer, folder):
    """Tests with some callbacks, and gives the figures of ``metrics.json``, without their common beginning."""

    def run(model, *callbacks, eval_batch_size=100, **options):
        trainer(Report(), *callbacks, **options).test(model, Digits(eval_batch_size=eval_batch_size), verbose=False)
        found = json.loads((folder / "metrics.json").read_text())["test"]
        return {name.removeprefix("test/defended/"): value for name, value in found.items() if "/defended/" in name}

    return run


def digits(count):
    """The test images that a callback with images=count looks at."""
    data = Digits(eval_batch_size=1000)
    data.setup("test")
    images, labels = next(iter(data.test_dataloader()))
    chosen = draw(count, len(labels))
    return images[chosen], labels[chosen]


def defended(model, defense, images, runs=4):
    scores = torch.stack([model(defense(images, run)) for run in range(runs)])
    return scores[0].argmax(1), vote(scores).argmax(1)


def test_figures_are_those_by_hand(model, test):
    deflection = PixelDeflection(300, 3, RobustActivationMap())
    found = test(model, DestructionRate(ATTACKS, {"id": Identity(), "pd": deflection}, ensemble=4, images=120))
    images, labels = digits(120)
    right = model(images).argmax(1) == labels
    assert found["clean/acc"] == pytest.approx(right.double().mean().item())
    for reading, guesses in zip(("", "ensemble_"), defended(model, deflection, images)):
        assert found[f"clean/pd/{reading}acc"] == pytest.approx((guesses == labels)[right].double().mean().item())
        assert found[f"clean/pd/{reading}acc_of_all"] == pytest.approx((guesses == labels).double().mean().item())
    images, labels = images[right], labels[right]
    for name, attack in ATTACKS.items():
        attacked = attack(model, images, labels).images
        fooled = model(attacked).argmax(1) != labels
        assert fooled.any()
        assert found[f"{name}/fooled"] == fooled.sum()
        assert found[f"{name}/acc_undefended"] == pytest.approx((~fooled).double().mean().item())
        assert found[f"{name}/rmse"] == pytest.approx(
            (attacked - images)[fooled].flatten(1).square().mean(1).sqrt().mean().item(), rel=1e-5
        )
        for reading, guesses in zip(("", "ensemble_"), defended(model, deflection, attacked)):
            back = guesses == labels
            assert found[f"{name}/pd/{reading}acc"] == pytest.approx(back.double().mean().item())
            assert found[f"{name}/pd/{reading}destruction_rate"] == pytest.approx(back[fooled].double().mean().item())


def adapted_by_hand(attack, model, defense, images, labels, attacked, eot):
    """The result of an attack through the defence, with draws of its own, wherever that leaves the true class less."""
    known = Defended(model, defense, votes=eot, run=2**20)
    through, leads = attack(known, images, labels).images, []
    for scores in (known(attacked), known(through)):
        own = torch.nn.functional.one_hot(labels, 10).bool()
        leads.append(scores[own] - scores[~own].view(-1, 9).amax(1))
    return torch.where((leads[1] < leads[0]).view(-1, 1, 1, 1), through, attacked)


def test_figures_of_who_knows_the_defence_are_those_by_hand(model, test):
    defenses = {"bits": BitDepth(2), "pd": PixelDeflection(300, 3)}
    attacks = {"fgsm": FGSM(eps=0.05), "pgd": PGD(eps=0.05, steps=5, stop="success")}
    callback = DestructionRate(attacks, defenses, ensemble=4, adaptive=True, eot=2, images=60)
    found = test(model, callback)
    images, labels = digits(60)
    right = model(images).argmax(1) == labels
    images, labels = images[right], labels[right]
    for name, attack in attacks.items():
        attacked = attack(model, images, labels).images
        fooled = model(attacked).argmax(1) != labels
        for own, defense in defenses.items():
            adapted = adapted_by_hand(attack, model, defense, images, labels, attacked, eot=2)
            sizes = (adapted - images).flatten(1).square().mean(1).sqrt()
            assert found[f"{name}/{own}/adaptive_rmse"] == pytest.approx(sizes.mean().item(), rel=1e-5)
            for reading, guesses in zip(("", "ensemble_"), defended(model, defense, adapted)):
                back, start = guesses == labels, f"{name}/{own}/adaptive_{reading}"
                assert found[f"{start}acc"] == pytest.approx(back.double().mean().item())
                assert found[f"{start}destruction_rate"] == pytest.approx(back[fooled].double().mean().item())
    passes = 60 + 2 * 2 * len(images)  # one run of each defence is timed: clean, and for both attackers of both attacks
    assert callback.bench.costs[:, 0].tolist() == [passes, passes]


def test_an_attack_is_made_once_for_all_defences(model, test):
    sizes = []

    class Counted(FGSM):
        def __call__(self, model, images, labels, *arguments, **options):
            sizes.append(len(images))
            return super().__call__(model, images, labels, *arguments, **options)

    sweeps = [Sweep(PixelDeflection(1, 3), "deflections", [10, 100])]
    defenses = [BitDepth(3), PixelDeflection(100, 3), WaveletDenoise()]
    found = test(model, DestructionRate({"fgsm": Counted(eps=0.1)}, defenses, images=50, sweeps=sweeps))
    assert sum(sizes) == found["fgsm/recognised"]
    assert found["fgsm/fooled"] > 0


def test_the_identity_brings_nothing_back_and_an_oracle_all(model, test):
    images, _ = digits(60)
    found = test(model, DestructionRate(ATTACKS, {"id": Identity(), "oracle": Oracle(images)}, images=60))
    for name in ATTACKS:
        assert found[f"{name}/id/destruction_rate"] == 0
        assert found[f"{name}/id/acc"] == found[f"{name}/acc_undefended"]
        assert found[f"{name}/oracle/destruction_rate"] == 1
        assert found[f"{name}/oracle/ensemble_acc"] == 1


def test_undefined_where_nothing_is_fooled(model, test):
    found = test(model, DestructionRate({"none": FGSM(eps=0.0)}, [BitDepth(8)], images=50))
    assert found["none/bitdepth/destruction_rate"] is None  # NaN
    assert found["none/rmse"] is None
    assert found["none/bitdepth/acc"] == 1


@pytest.mark.parametrize("first", [True, False])
def test_a_defended_network_has_a_cache_of_its_own(first, model, test, tmp_path):
    attacks = {"fgsm": FGSM(eps=0.1)}
    options = {"images": 40, "cache": str(tmp_path / "cache")}
    plain = test(model, DestructionRate(attacks, [Identity()], **options))
    both = [InputDefense(BitDepth(1)), DestructionRate(attacks, [Identity()], **options)]
    test(model, *(both if first else reversed(both)))
    assert len(list((tmp_path / "cache").iterdir())) == 2
    again = test(model, DestructionRate(attacks, [Identity()], **options))
    assert again["fgsm/fooled"] == plain["fgsm/fooled"]
    assert again["fgsm/rmse"] == plain["fgsm/rmse"]


def test_nothing_is_recognised(classifier, trainer):
    data, blind = Digits(eval_batch_size=1), classifier()
    data.setup("test")
    (label,) = next(iter(data.test_dataloader()))[1]
    blind.network[2].weight.data.zero_()
    blind.network[2].bias.data[(label + 1) % 10] = 9.0
    (found,) = trainer(DestructionRate({"fgsm": FGSM()}, [BitDepth()], images=1)).test(blind, data, verbose=False)
    assert found["test/defended/clean/acc"] == 0
    assert found["test/defended/fgsm/recognised"] == 0
    assert isnan(found["test/defended/fgsm/bitdepth/destruction_rate"])


def callback():
    """With everything."""
    defenses = {"noise": Noise(), "pd": Sequence([PixelDeflection(100, 3, RobustActivationMap()), WaveletDenoise()])}
    sweeps = [Sweep(PixelDeflection(100, 3), "deflections", [10, 300])]
    attacks = {"fgsm": FGSM(eps=0.1), "pgd": PGD(eps=0.1, steps=3, stop="success")}
    return DestructionRate(attacks, defenses, ensemble=3, adaptive=True, eot=2, images=45, sweeps=sweeps, samples=2)


def test_batches_and_ranks_do_not_matter(model, test):
    whole = test(model, callback())
    parts = test(model, callback(), eval_batch_size=37)
    ranks = test(model, callback(), eval_batch_size=40, devices=2, strategy="ddp_fork")
    assert whole["clean/acc"] > 0.8
    for name, value in whole.items():
        if not name.endswith("seconds"):
            assert parts[name] == pytest.approx(value, rel=1e-4), name
            assert ranks[name] == pytest.approx(value, rel=1e-4), name


def test_the_report_shows_tables_curves_and_pictures(model, test, folder):
    found = test(model, callback(), precision="bf16-mixed")
    page = (folder / "report.html").read_text()
    assert ">Defences" in page
    assert "45 test images, of which" in page
    assert "Destruction rate, one run of each defence." in page
    assert "Destruction rate, the vote of 3 runs of each defence." in page
    assert "the attacker does not know the defence, and knows it" in page
    assert "Destruction rate behind pixeldeflection, over deflections; one run." in page
    assert "Accuracy on recognised images behind pixeldeflection, over deflections; one run." in page
    assert page.count("amplified change, and the map that steered it") == 2
    assert_intervals(found, page)


def assert_intervals(found, page):
    """Every rate is followed by Wilson's 95 % interval for the images that it counts."""
    for attack in ("fgsm", "pgd"):
        counts = {"acc": int(found[f"{attack}/recognised"]), "destruction_rate": int(found[f"{attack}/fooled"])}
        figures = ["acc", "ensemble_acc", "adaptive_acc", "adaptive_ensemble_acc"]
        figures += ["destruction_rate", "ensemble_destruction_rate"]
        for name in (f"{attack}/{defense}/{figure}" for defense in ("noise", "pd") for figure in figures):
            rate, count = found[name], counts["acc" if name.endswith("acc") else "destruction_rate"]
            low, high = binomtest(round(rate * count), count).proportion_ci(method="wilson")
            assert f"{rate:.3f} ({low:.3f} to {high:.3f})" in page.replace("\u00a0", " "), name


def test_who_knows_the_defence_is_never_weaker(model):
    images, labels = digits(50)
    right = model(images).argmax(1) == labels
    images, labels = images[right], labels[right]
    for defense in (BitDepth(2), Noise(), PixelDeflection(200, 4)):
        for attack in (FGSM(eps=0.1), PGD(eps=0.1, steps=5, stop="success"), AtSize(DeepFool(steps=10), 0.1)):
            attacked = attack(model, images, labels).images
            adapted = adapt(attack, model, defense, images, labels, attacked, eot=4)
            plain, known = (
                (Defended(model, defense, votes=10)(each).argmax(1) == labels).double().mean()
                for each in (attacked, adapted)
            )
            assert known <= plain + 0.02, (defense, attack)


@pytest.mark.parametrize(("defense", "eps"), [(BitDepth(2), 0.1), (Noise(), 0.04), (PixelDeflection(300, 3), 0.06)])
def test_who_knows_the_defence_breaks_more_of_it(defense, eps, model):
    images, labels = digits(50)
    right = model(images).argmax(1) == labels
    images, labels = images[right], labels[right]
    attack = PGD(eps=eps, steps=5, stop="success")
    attacked = attack(model, images, labels).images
    adapted = adapt(attack, model, defense, images, labels, attacked, eot=4)
    assert (adapted - images).abs().max() <= eps + 1e-6
    plain, known = (
        (Defended(model, defense, votes=10)(each).argmax(1) == labels).double().mean() for each in (attacked, adapted)
    )
    assert known <= plain - 0.1


def test_the_attacker_does_not_know_the_draws(model):
    images, labels = digits(40)
    seen = []

    class Spy(Noise):
        def restore(self, images, run):
            seen.append(run)
            return super().restore(images, run)

    adapt(FGSM(eps=0.1), model, Spy(), images, labels, images, eot=3)
    assert min(seen) > 1000
    assert len(set(seen)) == 3


def test_a_network_without_feature_maps_is_refused_before_the_test(classifier, trainer):
    plain = classifier()
    with pytest.raises(ValueError, match="needs feature maps, but Sequential has no features"):
        trainer(DestructionRate()).test(plain, Digits(), verbose=False)
    trainer(DestructionRate(defenses=[PixelDeflection()], images=20)).test(plain, Digits(), verbose=False)


@pytest.mark.parametrize("clean", [True, False])
def test_sweeps_log_what_defences_of_these_values_would(clean, model, test):
    defenses = {"few": PixelDeflection(20, 3), "many": PixelDeflection(400, 3)}
    sweeps = [Sweep(PixelDeflection(1, 3), "deflections", [0, 20, 400]), Sweep(PixelDeflection(400, 1), "window", [3])]
    options = {"ensemble": 1, "images": 60, "clean": clean}
    found = test(model, DestructionRate({"fgsm": FGSM(eps=0.12)}, defenses, sweeps=sweeps, **options))
    sought = {"deflections=20": "few", "deflections=400": "many"}
    for attack, figures in {"fgsm": ("destruction_rate", "acc"), "clean": ("acc",)}.items():
        for figure in figures if clean or attack == "fgsm" else ():
            for value, name in sought.items():
                assert found[f"{attack}/pixeldeflection/{value}/{figure}"] == found[f"{attack}/{name}/{figure}"]
            assert found[f"{attack}/pixeldeflection_2/window=3/{figure}"] == found[f"{attack}/many/{figure}"]
    assert found["fgsm/pixeldeflection/deflections=0/destruction_rate"] == 0
    assert found["fgsm/many/destruction_rate"] > 0
    assert any(name.startswith("clean/pixeldeflection") for name in found) == clean
    assert not any(name.startswith("mean/pixeldeflection") for name in found)


def test_sweeps_have_names_of_their_own():
    sweeps = {"PD": Sweep(PixelDeflection(), "window", [1])}
    assert DestructionRate(sweeps=sweeps).sweeps == sweeps
    with pytest.raises(ValueError, match="sweeps: the name 'a/b' must be words without a slash"):
        DestructionRate(sweeps={"a/b": sweeps["PD"]})


def test_sweeps():
    sweep = Sweep(Sequence([BitDepth(3), PixelDeflection(10)]), "parts.1.deflections", [5, 50])
    assert [one.parts[1].deflections for one in sweep.defenses.values()] == [5, 50]
    assert list(sweep.defenses) == ["5", "50"]
    assert sweep.defense.parts[1].deflections == 10


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DestructionRate([]), "attacks is empty"),
        (lambda: DestructionRate(defenses={}), "defenses is empty"),
        (lambda: DestructionRate({"clean": FGSM()}), "named clean, which stands for no attack"),
        (lambda: DestructionRate({"a/b": FGSM()}), "must be words without a slash"),
        (lambda: DestructionRate(ensemble=0), "ensemble=0 must be at least 1"),
        (lambda: DestructionRate(ensemble=2.5), "ensemble=2.5 must be a whole number"),
        (lambda: DestructionRate(images=-1), "images=-1 must be at least 0"),
        (lambda: Sweep(BitDepth(), "depth", [1]), "has no option depth with a number: give one of bits"),
        (lambda: Sweep(BitDepth(), "parts.0.bits", [1]), "has no part parts.0"),
        (lambda: Sweep(BitDepth(), "bits", []), "values of bits is empty"),
    ],
)
def test_refuses_impossible_options(make, words):
    with pytest.raises(ValueError, match=words):
        make()
