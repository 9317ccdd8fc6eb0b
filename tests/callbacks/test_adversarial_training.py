"""Training on adversarial examples."""

import copy

import pytest
import torch
from lightning import Callback, Trainer, seed_everything
from torch import nn

from attacks import IGSM, PGD
from callbacks import AdversarialTraining, FreeAdversarialTraining
from callbacks.hardening import put_images
from datamodules import Digits
from lightning_modules import Classifier
from networks import VanillaConvNet
from tests.callbacks.pruning_runs import STEPS, TwoLayers, assert_same_end, fit
from tests.lightning_modules.test_resume import Crash

TWO = {"devices": 2, "strategy": "ddp_fork"}
SMALL = {"eps": 0.1, "step": 0.05, "steps": 2}


class Seen(Callback):
    """The images that each step saw, and what the network was like before."""

    def __init__(self):
        self.images, self.statistics = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.images.append(batch[0].detach().clone())
        self.statistics.append(int(getattr(pl_module.network.layers[1], "num_batches_tracked", 0)))


class Before(Callback):
    """Clean images, labels and the network as a step begins, where it stands before the callback that attacks."""

    def __init__(self):
        self.steps = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.steps.append((batch[0].clone(), batch[1], copy.deepcopy(pl_module.network)))


def seen(folder, *callbacks, **options):
    watch = Seen()
    fit(folder, *callbacks, watch, **{"max_epochs": 1, **options})
    return watch


def end(folder):
    """What a training left on disk, where its ranks are gone."""
    content = torch.load(folder / "last.ckpt", weights_only=True)
    return content["state_dict"], content["optimizer_states"], content["classifier"]["random_state"]


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}, TWO], ids=str)
def test_a_budget_of_zero_is_plain_training(options, tmp_path):
    fit(tmp_path / "plain", **options)
    fit(tmp_path / "hardened", AdversarialTraining(PGD(eps=0.0, step=0.0, steps=2)), **options)
    # Statistics, gradients and the random states of dropout are untouched.
    torch.testing.assert_close(end(tmp_path / "hardened"), end(tmp_path / "plain"), rtol=0, atol=0)


WAYS = [{}, {"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}]


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_images_are_what_the_attack_makes_of_them(options, tmp_path):
    before, training, watch = Before(), AdversarialTraining(PGD(**SMALL)), Seen()
    trainer = fit(tmp_path, before, training, watch, max_epochs=1, limit_train_batches=3, **options)
    for step, (clean, labels, network) in enumerate(before.steps):
        generator = torch.Generator().manual_seed(hash((training.seed, 0, step, 0)) % 2**63)
        with trainer.precision_plugin.forward_context():
            expected = PGD(**SMALL)(network, clean, labels, generator=generator).images
        torch.testing.assert_close(watch.images[step], expected, rtol=0, atol=1e-6)
        assert (expected - clean).abs().max() == pytest.approx(0.1, abs=1e-6)


class Grey(Digits):
    """All images alike, so that their random starts can be compared."""

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return [torch.full_like(batch[0], 0.5), batch[1]]


def test_ranks_start_at_points_of_their_own(tmp_path):
    class Differ(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            ours, others = trainer.strategy.all_gather(batch[0])
            assert ours.std() > 0.01
            assert (ours != others).float().mean() > 0.99

    starts = AdversarialTraining(PGD(eps=0.1, step=0.0, steps=1))
    fit(tmp_path, starts, Differ(), data=Grey(batch_size=100), max_epochs=1, limit_train_batches=1, **TWO)


@pytest.mark.gpu
def test_mixed_precision_on_a_gpu_leaves_its_random_state_alone(tmp_path):
    class State(Callback):
        def __init__(self):
            self.states = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.states.append(torch.cuda.get_rng_state())

    before, after, clean, watch = State(), State(), Before(), Seen()
    options = {"accelerator": "gpu", "devices": 1, "precision": "16-mixed", "max_epochs": 1}
    trainer = fit(tmp_path, clean, before, AdversarialTraining(PGD(**SMALL)), after, watch, **options)
    assert len(before.states) == STEPS
    assert all(map(torch.equal, before.states, after.states))
    for (images, _, _), attacked in zip(clean.steps, watch.images):
        assert float((attacked - images).abs().max()) == pytest.approx(0.1, abs=1e-6)
    assert trainer.precision_plugin.scaler.get_scale() > 0
    assert all(parameter.isfinite().all() for parameter in trainer.lightning_module.parameters())


def test_a_share_of_the_batch_stays_clean_and_the_budget_grows(tmp_path):
    clean = seen(tmp_path / "clean", max_epochs=3).images
    attacked = seen(
        tmp_path / "attacked",
        AdversarialTraining(PGD(**SMALL), clean_fraction=0.3, warmup_epochs=1),
        max_epochs=3,
    ).images
    for step in (0, STEPS, 2 * STEPS):
        changes = (attacked[step] - clean[step]).abs().flatten(1).amax(1)
        assert not changes[70:].any()
        assert changes[:70].amax() == pytest.approx(0.05 if step == 0 else 0.1, abs=1e-6)


def test_statistics_count_the_training_steps_alone(tmp_path):
    assert seen(tmp_path, AdversarialTraining(PGD(**SMALL))).statistics == list(range(1, STEPS + 1))


KINDS = [lambda: AdversarialTraining(PGD(**SMALL)), lambda: FreeAdversarialTraining(0.1, 3)]


@pytest.fixture(scope="module", params=KINDS, ids=["PGD", "free"])
def uninterrupted(request, tmp_path_factory):
    """What makes a callback, and a training with it."""
    return request.param, fit(tmp_path_factory.mktemp("whole"), request.param(), every_step=True, max_epochs=3)


@pytest.mark.parametrize(("epoch", "batch"), [(0, 3), (1, 0), (1, STEPS - 1), (2, 1)])
def test_resumed_at_any_step_equals_uninterrupted(uninterrupted, epoch, batch, tmp_path):
    kind, whole = uninterrupted
    crash = Crash("on_train_batch_end", epoch, batch)
    with pytest.raises(InterruptedError):
        fit(tmp_path / "broken", kind(), crash, every_step=True, max_epochs=3)
    path = tmp_path / "broken" / "last.ckpt"
    assert_same_end(whole, fit(tmp_path / "broken", kind(), ckpt_path=path, every_step=True, max_epochs=3))


@pytest.mark.parametrize("kind", KINDS, ids=["PGD", "free"])
def test_ranks_agree(kind, tmp_path):
    class Agree(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            for parameter in pl_module.parameters():
                ranks = trainer.strategy.all_gather(parameter.detach())
                assert torch.equal(ranks[0], ranks[1])

    fit(tmp_path, kind(), Agree(), max_epochs=2, **TWO)


def test_free_training_replays_a_batch_and_moves_along_its_gradient(tmp_path):
    images = seen(tmp_path / "free", FreeAdversarialTraining(0.1, replays=3)).images
    clean = seen(tmp_path / "clean").images
    assert torch.equal(images[0], clean[0])  # the perturbation begins at zero
    for step, first in ((1, 0), (2, 0), (4, 3)):
        change = images[step] - clean[first]
        assert change.abs().max() == pytest.approx(0.1, abs=1e-6)
    assert (images[3] - clean[3]).any()  # it goes over to the next batch


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_free_training_moves_along_the_gradient_of_the_step_by_hand(options, tmp_path):
    before, watch, plain = Before(), Seen(), TwoLayers(batch_norm=False)  # nor dropout, which would draw again
    options = {"max_epochs": 1, "limit_train_batches": 3, "network": plain, **options}
    trainer = fit(tmp_path, before, FreeAdversarialTraining(0.1, replays=3, step=0.04), watch, **options)
    (clean, labels, _), delta = before.steps[0], 0
    for images, (_, _, network) in zip(watch.images, before.steps):
        torch.testing.assert_close(images, (clean + delta).clamp(0, 1), rtol=0, atol=1e-6)
        images.requires_grad_()
        with trainer.precision_plugin.forward_context():
            loss = nn.functional.cross_entropy(network(images), labels)
        (gradient,) = torch.autograd.grad(loss, images)
        delta = (delta + 0.04 * gradient.sign()).clamp(-0.1, 0.1)


def test_a_gradient_that_is_no_number_leaves_the_perturbation():
    free, images = FreeAdversarialTraining(0.1), torch.zeros(1, 1, 1, 3, requires_grad=True)
    free.delta = torch.tensor([0.05, 0.05, 0.0]).view(1, 1, 1, 3)
    images.grad = torch.tensor([float("nan"), float("inf"), -1.0]).view(1, 1, 1, 3)
    free.on_train_batch_end(None, None, None, [images, None], 0)
    assert free.delta.flatten().tolist() == pytest.approx([0.05, 0.1, -0.1])


def test_free_training_with_batches_of_other_sizes(tmp_path):
    data = Digits(batch_size=100, val_size=1437 - 130)  # batches of 100 and 30
    fit(tmp_path, FreeAdversarialTraining(0.1, replays=2), data=data, limit_train_batches=1.0, max_epochs=3)


@pytest.mark.parametrize(
    ("training", "epochs"),
    [
        (lambda: AdversarialTraining(PGD(eps=0.08, step=0.05, steps=2)), 5),
        (lambda: AdversarialTraining(PGD(eps=0.08, step=0.1, steps=1)), 5),
        (lambda: FreeAdversarialTraining(0.08, replays=3), 12),  # a third of the images in each
    ],
    ids=["PGD", "fast", "free"],
)
def test_hardened_networks_resist(training, epochs, standard):
    assert robust_accuracy(training(), epochs) > standard + 0.2


@pytest.fixture(scope="module")
def standard():
    """The robust accuracy without hardening."""
    return robust_accuracy(None)


def robust_accuracy(callback, epochs=5, eps=0.08, seed=0):
    seed_everything(seed, verbose=False)
    network = VanillaConvNet(depth=3, width=16, global_pool=True)
    model = Classifier(network, optimizer=lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    data = Digits(batch_size=64)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        enable_model_summary=False,
        callbacks=[callback] if callback else [],
        **quiet,
    )
    trainer.fit(model, data)
    data.setup("test")
    images, labels = next(iter(data.test_dataloader()))
    result = PGD(eps=eps, steps=10, stop="success")(model.eval(), images[:150], labels[:150])
    return 1 - (result.success | result.already).float().mean().item()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AdversarialTraining(clean_fraction=1.0), "clean_fraction=1.0 must be at least 0 and below 1"),
        (lambda: AdversarialTraining(warmup_epochs=-1), "warmup_epochs=-1 must be 0 or more"),
        (lambda: FreeAdversarialTraining(eps=8), "eps=8 must lie in"),
        (lambda: FreeAdversarialTraining(replays=0), "replays=0 must be 1 or more"),
        (lambda: FreeAdversarialTraining(step=-1), "step=-1 must be 0 or more"),
        (lambda: FreeAdversarialTraining(step=float("nan")), "step=nan must be 0 or more"),
    ],
)
def test_refuses_impossible_options(make, words):
    with pytest.raises(ValueError, match=words):
        make()


class Unchecked(PGD):
    """Takes any values, as attacks in training do on a GPU."""

    def perturb(self, model, images, labels=None, *, targets=None, generator=None):
        return images


class Levels(Digits):
    """Pixels from 0 to 255."""

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return [255 * batch[0], batch[1]]


@pytest.mark.parametrize("kind", [lambda: AdversarialTraining(Unchecked(**SMALL)), KINDS[1]], ids=["PGD", "free"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (lambda: {"data": Levels(batch_size=100)}, "images hold pixels from 0 to 255: .* leave normalisation"),
        (lambda: {"network": nn.Sequential(TwoLayers(), nn.Linear(10, 9))}, "from 0 to 9, but the model has 9 classes"),
    ],
    ids=["pixels", "labels"],
)
def test_the_first_batch_is_refused_in_words_on_any_device(kind, options, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        fit(tmp_path, kind(), **options())


@pytest.mark.parametrize("kind", KINDS, ids=["PGD", "free"])
def test_one_batch_of_each_fit_is_checked(kind, tmp_path, monkeypatch):
    checked, callback = [], kind()
    monkeypatch.setattr("callbacks.hardening.check_pixels", checked.append)
    for count in (1, 2):
        fit(tmp_path / str(count), callback, max_epochs=1)
        assert len(checked) == count


def test_an_attack_that_may_stop_early_earns_one_warning(tmp_path):
    with pytest.warns(UserWarning, match=r"IGSM may leave .*stop=OnSuccess.*`stop: never` gives the usual") as told:
        fit(tmp_path, AdversarialTraining(IGSM(0.1, steps=2)), max_epochs=2)
    assert sum("AdversarialTraining" in str(one.message) for one in told) == 1


def test_refuses_to_attack_twice(tmp_path):
    with pytest.raises(ValueError, match="AdversarialTraining and FreeAdversarialTraining would both attack"):
        fit(tmp_path, AdversarialTraining(), FreeAdversarialTraining())


def test_images_of_a_tuple_cannot_be_replaced():
    with pytest.raises(TypeError, match="yields a tuple, in which images can't be replaced"):
        put_images((torch.zeros(1), torch.zeros(1)), nn.Parameter(torch.zeros(1)))
