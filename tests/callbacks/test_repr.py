"""RePr in real trainings."""

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging
from torch import nn

from callbacks import ChannelsLast, DenseSparseDense, RePr
from pruning import EachLayer, MeasuredStatistics, Orthogonality, Random, WeightNorm
from tests.callbacks.pruning_runs import EPOCHS, STEPS, TwoLayers, assert_same_end, fit, momentum
from tests.lightning_modules.test_resume import Crash

SHORT = {"percent": 40, "full_epochs": 1, "pruned_epochs": 1, "cycles": 2}  # pruned in the epochs 1 and 3 of 6
SECOND = "layers.3"  # the convolution that is ranked

OPTIMIZERS = {
    "momentum": momentum,
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-2, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=1e-1),
}
ACCUMULATED, MIXED = {"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}


class Watch(Callback):
    """Notes after every step which of the second convolution's filters are zero, and what is judged when."""

    def __init__(self):
        self.zeros, self.validated, self.away = [], [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        layers = pl_module.network.layers
        zero = ~layers[3].weight.detach().flatten(1).any(1)
        for values in (layers[3].bias, layers[4].weight, layers[4].bias):
            assert not values.detach()[zero].any()
        self.zeros.append(zero)

    def on_validation_end(self, trainer, pl_module):
        self.validated.append(trainer.current_epoch)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("options", [{}, ACCUMULATED, MIXED, ACCUMULATED | MIXED], ids=str)
def test_filters_are_gone_in_the_pruned_phases_alone(optimizer, options, tmp_path):
    watch = Watch()
    fit(tmp_path, RePr(**SHORT), watch, optimizer=optimizer, **options)
    counts = [int(zero.sum()) for zero in watch.zeros]
    phases = [4 if epoch in (1, 3) else 0 for epoch in range(EPOCHS)]  # 40 % of 10
    assert counts == [count for count in phases for _ in range(STEPS)]
    assert len({tuple(zero.tolist()) for zero in watch.zeros[STEPS : 2 * STEPS]}) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])  # the last one scales losses
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_filters_stay_away_on_a_gpu(optimizer, precision, tmp_path):
    watch = Watch()
    fit(tmp_path, RePr(**SHORT), watch, optimizer=optimizer, precision=precision, accelerator="gpu", devices=1)
    counts = [int(zero.sum()) for zero in watch.zeros]
    assert counts == [count for count in (0, 4, 0, 4, 0, 0) for _ in range(STEPS)]


def test_nobody_judges_a_pruned_network(tmp_path):
    watch, stop = Watch(), EarlyStopping("val/acc", patience=1, mode="max", min_delta=1.0)  # wants the impossible
    trainer = fit(tmp_path, RePr(**SHORT), watch, EarlyStopping("val/acc", patience=5, mode="max"))
    assert watch.validated == [0, 2, 4, 5]
    assert trainer.limit_val_batches == 1.0
    trainer = fit(tmp_path / "stopped", RePr(**SHORT), stop)
    assert stop.patience == 1
    assert trainer.current_epoch == 3  # by the first check after the first pruned phase, not by one in it


def test_best_is_never_a_pruned_network(tmp_path):
    class Peak(Callback):
        """A figure that is highest while filters are away, logged whether or not anything is validated."""

        def on_train_epoch_end(self, trainer, pl_module):
            pl_module.log("val/acc", float(trainer.current_epoch in (1, 3)))

    for asked, epoch in ((False, 0), (True, 1)):
        fit(tmp_path / str(asked), RePr(**SHORT, validate_pruned=asked), Peak(), limit_val_batches=int(asked))
        best = torch.load(tmp_path / str(asked) / "best.ckpt", weights_only=True)
        assert best["epoch"] == epoch


def test_returned_filters_are_orthogonal_to_all_that_were(tmp_path):
    class Look(Callback):
        def __init__(self):
            self.first, self.last = {}, {}  # the filters before an epoch's first step and after its last, by epoch

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.first.setdefault(trainer.current_epoch, filters(pl_module))

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.last[trainer.current_epoch] = filters(pl_module)

    def filters(pl_module):
        return pl_module.network.layers[3].weight.detach().flatten(1).clone()

    repr_, look = RePr(**SHORT), Look()
    fit(tmp_path, repr_, look)
    old, kept, new = look.last[0], look.first[1], look.first[2]
    gone = ~kept.any(1)
    assert (nn.functional.normalize(new[gone]) @ nn.functional.normalize(old[gone]).T).abs().max() < 1e-6
    initial = repr_.norms[SECOND]
    assert initial == pytest.approx(3**-0.5, rel=0.1)
    torch.testing.assert_close(new[gone].norm(dim=1), torch.full((4,), initial), rtol=1e-5, atol=0)
    products = nn.functional.normalize(new[gone]) @ nn.functional.normalize(new).T
    products[torch.arange(4), gone.nonzero().flatten()] -= 1
    assert products.abs().max() < 1e-6
    assert repr_.pruned_history[0]["tiers"] == {SECOND: [4, 0, 0]}
    assert repr_.pruned_history[0]["removed"][SECOND] == gone.nonzero().flatten().tolist()


BREAKS = [(epoch, batch) for epoch in (0, 1, 2, 3) for batch in (0, 2, STEPS - 1)][1:]


@pytest.fixture(scope="module", params=[Orthogonality(), Random(1)], ids=["orthogonality", "random"])
def uninterrupted(request, tmp_path_factory):
    """A ranking, and a training with it."""
    folder = tmp_path_factory.mktemp("whole")
    return request.param, fit(folder, RePr(**SHORT, ranking=request.param), every_step=True)


@pytest.mark.parametrize(("epoch", "batch"), BREAKS)
def test_resumed_at_any_step_equals_uninterrupted(epoch, batch, uninterrupted, tmp_path):
    ranking, whole = uninterrupted
    with pytest.raises(InterruptedError):
        fit(
            tmp_path / "broken",
            RePr(**SHORT, ranking=ranking),
            Crash("on_train_batch_end", epoch, batch),
            every_step=True,
        )
    path = tmp_path / "broken" / "last.ckpt"
    resumed = fit(tmp_path / "broken", RePr(**SHORT, ranking=ranking), ckpt_path=path, every_step=True)
    assert_same_end(whole, resumed)


@pytest.mark.parametrize("hook", ["on_validation_start", "on_validation_end", "on_train_epoch_end"])
def test_resumed_at_an_epochs_end_equals_uninterrupted(hook, tmp_path):
    def callbacks():
        return RePr(**SHORT), EMAWeightAveraging(decay=0.9), EarlyStopping("val/acc", patience=3, mode="max")

    whole = fit(tmp_path / "whole", *callbacks())
    with pytest.raises(InterruptedError):
        fit(tmp_path / "broken", *callbacks(), Crash(hook, 2))
    resumed = fit(tmp_path / "broken", *callbacks(), ckpt_path=tmp_path / "broken" / "last.ckpt")
    assert_same_end(whole, resumed)


@pytest.mark.parametrize("strict", [True, False])  # whether a missing figure is an error
def test_resumed_in_a_pruned_phase_training_stops_as_early(strict, tmp_path):
    def callbacks():
        return RePr(**SHORT), EarlyStopping("val/acc", patience=1, mode="max", min_delta=1.0, strict=strict)

    whole = fit(tmp_path / "whole", *callbacks(), every_step=True)
    with pytest.raises(InterruptedError):
        fit(tmp_path / "broken", *callbacks(), Crash("on_train_batch_end", 1, 2), every_step=True)
    path = tmp_path / "broken" / "last.ckpt"
    kept = torch.load(path, weights_only=True)["callbacks"]
    assert [state["patience"] for name, state in kept.items() if name.startswith("EarlyStopping")] == [1]
    resumed = fit(tmp_path / "broken", *callbacks(), ckpt_path=path, every_step=True)
    assert whole.current_epoch == resumed.current_epoch == 3


def test_phases_in_steps(tmp_path):
    watch = Watch()
    fit(tmp_path, RePr(40, 4, 3, 2, unit="step"), watch)
    away = [bool(zero.any()) for zero in watch.zeros]
    assert away == ([False] * 4 + [True] * 3) * 2 + [False] * (EPOCHS * STEPS - 14)


def test_a_second_training_begins_anew(tmp_path):
    repr_ = RePr(**SHORT)
    first = fit(tmp_path / "first", repr_)
    history = repr_.pruned_history
    second = fit(tmp_path / "second", repr_)
    assert repr_.pruned_history == history
    assert_same_end(first, second)


def test_no_cycles_is_plain_training(tmp_path):
    assert_same_end(fit(tmp_path / "plain"), fit(tmp_path / "none", RePr(cycles=0)))


def test_moving_averages_take_new_filters_over_at_once(tmp_path):
    class Compare(Callback):
        def __init__(self, average):
            self.average, self.differences = average, {}

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 0:
                own = pl_module.network.layers
                averaged = self.average._average_model.module.network.layers
                self.differences[trainer.current_epoch] = {
                    "weight": (own[3].weight - averaged[3].weight).detach().flatten(1).abs().amax(1),
                    "variance": (own[4].running_var - averaged[4].running_var).abs(),
                }

    average = EMAWeightAveraging(decay=0.99)
    compare = Compare(average)
    repr_ = RePr(**SHORT)
    fit(tmp_path, repr_, average, compare)
    gone = repr_.pruned_history[0]["removed"][SECOND]
    for epoch in (1, 2):
        assert not compare.differences[epoch]["weight"][gone].any()
        assert compare.differences[epoch]["weight"].any()
    assert not compare.differences[2]["variance"][gone].any()


def test_options(tmp_path):
    watch = Watch()
    repr_ = RePr(**SHORT, exclude=(), scope=EachLayer(), ranking=WeightNorm(), bn_statistics=MeasuredStatistics(2))
    fit(tmp_path, repr_, watch, ChannelsLast())
    assert {name: len(rows) for name, rows in repr_.pruned_history[0]["removed"].items()} == {"layers.0": 2, SECOND: 4}


def test_statistics_are_measured_where_asked(tmp_path):
    class Keep(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.current_epoch == 2 and batch_idx == 0:
                self.variance = pl_module.network.layers[4].running_var.clone()

    found = {}
    for name, statistics in {"reset": None, "measured": MeasuredStatistics()}.items():
        keep, repr_ = Keep(), RePr(**SHORT, bn_statistics=statistics)
        fit(tmp_path / name, repr_, keep)
        found[name] = keep.variance[repr_.pruned_history[0]["removed"][SECOND]]
    assert (found["reset"] == 1).all()
    assert (found["measured"] != 1).all()


def test_a_training_that_ends_early_says_so(tmp_path):
    class Stop(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.should_stop = trainer.current_epoch == 1

    with pytest.warns(UserWarning, match="training ended while RePr had pruned the network: resume it"):
        fit(tmp_path, RePr(**SHORT), Stop())


def test_phases_fit_into_few_steps(tmp_path):
    for name, options in {"plain": {"max_steps": 21}, "half": {"max_steps": 13, "accumulate_grad_batches": 2}}.items():
        repr_ = RePr(**SHORT)
        fit(tmp_path / name, repr_, max_epochs=-1, **options)
        assert [entry["returned"] for entry in repr_.pruned_history] == [2, 4]


@pytest.mark.parametrize("percent", [0, 100, -3, 130])
def test_refuses_to_remove_nothing_or_everything(percent):
    with pytest.raises(ValueError, match=f"percent={percent} must lie between 0 and 100"):
        RePr(percent)


def test_refuses_units_and_shares_that_are_none():
    with pytest.raises(ValueError, match="RePr: unit='epochs' must be epoch or step"):
        RePr(unit="epochs")
    with pytest.raises(ValueError, match=r"max_per_layer=1.5 must lie in \(0, 1\]"):
        RePr(max_per_layer=1.5)


def test_refuses_phases_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match="RePr needs more than 90 epochs for its 3 cycles of 20 .* the training has 6"):
        fit(tmp_path, RePr())
    with pytest.raises(ValueError, match="RePr needs more than 30 steps .* the training has 30"):
        fit(tmp_path, RePr(30, 5, 5, 3, unit="step"))
    with pytest.raises(ValueError, match=r"than 4 epochs .* the training has 3: raise trainer\.max_steps or shorten"):
        fit(tmp_path, RePr(**SHORT), max_steps=19)
    with pytest.raises(ValueError, match=r"than 4 epochs .* the training has 4: raise trainer\.max_steps or shorten"):
        fit(tmp_path, RePr(**SHORT), max_steps=12, accumulate_grad_batches=2)  # 3 steps an epoch
    with pytest.raises(ValueError, match=r"than 8 steps .* the training has 8: raise trainer\.max_steps or shorten"):
        fit(tmp_path, RePr(40, 2, 2, 2, unit="step"), max_steps=8)
    with pytest.raises(ValueError, match="phases have at least the length 1"):
        RePr(pruned_epochs=0)


def test_refuses_a_network_without_convolutions(tmp_path):
    with pytest.raises(ValueError, match="RePr prunes convolutions, but Sequential has none: remove RePr"):
        fit(tmp_path, RePr(**SHORT), network=nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)))


def test_refuses_to_share_a_network_with_another_one(tmp_path):
    with pytest.raises(ValueError, match="RePr and DenseSparseDense both prune the network .*: remove one of them"):
        fit(tmp_path, RePr(**SHORT), DenseSparseDense(30, 1, 1, 2))


def test_refuses_at_once_what_the_first_ranking_would_refuse(tmp_path):
    with pytest.raises(ValueError, match="exclude names 'layers.9'"):
        fit(tmp_path, RePr(**SHORT, exclude=["layers.9"]))
    with pytest.raises(ValueError, match="max_per_layer lets only"):
        fit(tmp_path, RePr(80, 1, 1, 2, max_per_layer=0.5))


def test_compiled_networks_keep_working(tmp_path):
    plain = fit(tmp_path / "plain", RePr(**SHORT), network=seeded())
    network = seeded()
    network.compile(backend="eager")
    watch = Watch()
    compiled = fit(tmp_path / "compiled", RePr(**SHORT), watch, network=network)
    assert [int(watch.zeros[step].sum()) for step in (0, STEPS, 2 * STEPS)] == [0, 4, 0]
    assert_same_end(plain, compiled)


def seeded():
    torch.manual_seed(0)
    return TwoLayers()
