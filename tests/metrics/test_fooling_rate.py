"""Fooling rates against hand counts."""

import math
from functools import partial

import pytest
import torch
import torch.multiprocessing as mp

from metrics import AdversarialRadius, FoolingRate

BEFORE = torch.tensor([0, 1, 2, 1, 0])
AFTER = torch.tensor([0, 2, 1, 1, 3])
LABELS = torch.tensor([0, 1, 1, 0, 0])


def perturbations():
    changes = torch.zeros(5, 1, 2, 2)
    changes[1] = 0.5  # L2 norm 1
    changes[2, 0, 0, 0] = -0.3
    changes[4, 0, 0] = 0.2  # two components
    changes[0] = 0.9  # did not fool
    return changes


def test_hand_count():
    metric = FoolingRate()
    metric.update(BEFORE, AFTER, LABELS, perturbations())
    found = {name: value.item() for name, value in metric.compute().items()}
    assert found["fooling_rate"] == pytest.approx(3 / 5)
    assert found["clean_acc"] == pytest.approx(3 / 5)
    assert found["acc"] == pytest.approx(1 / 5)
    l2 = [1.0, 0.3, 0.2 * 2**0.5]
    assert found["l2"] == pytest.approx(sum(l2) / 3)
    assert found["l2_median"] == pytest.approx(0.3)
    assert found["linf"] == pytest.approx(1.0 / 3)
    assert found["linf_median"] == pytest.approx(0.3)


def test_any_split_gives_the_same():
    whole, parts = FoolingRate(), FoolingRate()
    whole.update(BEFORE, AFTER, LABELS, perturbations())
    for start, stop in ((0, 1), (1, 4), (4, 5)):
        rows = slice(start, stop)
        parts.update(BEFORE[rows], AFTER[rows], LABELS[rows], perturbations()[rows])
    assert whole.compute() == parts.compute()


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_undefined_is_nan():
    nothing = FoolingRate()
    assert all(value.isnan() for value in nothing.compute().values())
    nothing.update(BEFORE, BEFORE, LABELS, perturbations())
    found = nothing.compute()
    assert found["fooling_rate"] == 0
    assert found["l2"].isnan()
    assert found["linf_median"].isnan()


def test_radius_by_hand():
    metric = AdversarialRadius()
    metric.update(torch.tensor([0.1, 0.4, math.inf, 0.2]), torch.tensor([True, True, True, False]))
    metric.update(torch.tensor([0.3]), torch.tensor([True]))
    found = metric.compute()
    assert found["median"] == pytest.approx(0.35)  # of 0.1, 0.3, 0.4, never
    assert found["mean"] == pytest.approx(0.8 / 3)
    assert found["never"] == pytest.approx(1 / 4)
    assert found["wrong"] == pytest.approx(1 / 5)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_radius_where_most_are_never_fooled_or_nothing_is_there():
    metric = AdversarialRadius()
    assert all(value.isnan() for value in metric.compute().values())
    metric.update(torch.tensor([0.1, math.inf, math.inf]), torch.tensor([True, True, True]))
    assert metric.compute()["median"] == math.inf
    wrong = AdversarialRadius()
    wrong.update(torch.tensor([0.0]), torch.tensor([False]))
    assert wrong.compute()["median"].isnan()
    assert wrong.compute()["wrong"] == 1


def on_two_ranks(rank, path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}/meet", rank=rank, world_size=2)
    rows = slice(0, 1) if rank == 0 else slice(1, 5)  # nobody is fooled on rank 0
    metric, radius = FoolingRate(), AdversarialRadius()
    metric.update(BEFORE[rows], AFTER[rows], LABELS[rows], perturbations()[rows])
    radius.update(torch.full((5,), 0.5)[rows], torch.ones(5, dtype=torch.bool)[rows])
    torch.save((metric.compute(), radius.compute()), f"{path}/{rank}.pt")


def test_ranks_add_up(tmp_path):
    mp.start_processes(partial(on_two_ranks, path=tmp_path), nprocs=2, start_method="fork")
    one = FoolingRate()
    one.update(BEFORE, AFTER, LABELS, perturbations())
    for rank in (0, 1):
        found, radius = torch.load(tmp_path / f"{rank}.pt")
        assert found == one.compute()
        assert radius["median"] == 0.5
