"""Destruction rates against counts by hand."""

import pytest
import torch
from torch.multiprocessing import get_context

from metrics import DestructionRate, PerturbationSize, rmse

LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
CLEAN = torch.tensor([0, 1, 2, 0, 1, 0])  # the last one is wrong from the start
ATTACKED = torch.tensor([1, 1, 0, 2, 0, 2])  # fooled: 0, 2, 3, 4; the attack even mends the last one
DEFENDED = torch.tensor([0, 0, 2, 1, 1, 2])  # brought back: 0, 2, 4; image 1 is harmed


def measured(*batches, readings=()):
    metric = DestructionRate(readings)
    for batch in batches:
        metric.update(*batch)
    return metric.compute()


def test_by_hand():
    found = measured((CLEAN, ATTACKED, DEFENDED, LABELS))
    assert found["destruction_rate"] == 3 / 4
    assert found["acc"] == 3 / 5  # 0, 2, 4 of the five that are recognised
    assert found["acc_undefended"] == 1 / 5
    assert found["acc_of_all"] == 4 / 6
    assert [int(found[name]) for name in ("images", "recognised", "fooled")] == [6, 5, 4]


def test_the_identity_has_none_and_a_perfect_oracle_all():
    found = measured((CLEAN, ATTACKED, torch.stack([ATTACKED, LABELS]), LABELS), readings=[2])
    assert found["destruction_rate"].tolist() == [0.0, 1.0]
    assert found["acc"].tolist() == [1 / 5, 1.0]


def test_what_was_wrong_before_or_never_fooled_does_not_count():
    wrong = torch.tensor([1]), torch.tensor([1]), torch.tensor([0]), torch.tensor([0])  # mended by the defence
    assert measured(wrong)["destruction_rate"].isnan()
    assert measured(wrong)["acc"].isnan()
    unmoved = torch.tensor([0]), torch.tensor([0]), torch.tensor([0]), torch.tensor([0])
    assert measured(unmoved)["destruction_rate"].isnan()
    assert measured(unmoved)["acc"] == 1


def test_undefined_before_the_first_image():
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        assert DestructionRate().compute()["destruction_rate"].isnan()


def test_batches_do_not_matter():
    whole = measured((CLEAN, ATTACKED, DEFENDED, LABELS))
    parts = measured(*zip(*(part.split(4) for part in (CLEAN, ATTACKED, DEFENDED, LABELS))))
    assert whole == parts


def test_sizes_by_hand():
    metric = PerturbationSize()
    clean = torch.full((2, 3, 4, 4), 0.5)
    moved = clean.clone()
    moved[0] += 0.1
    moved[1, 0, 0, 0] += 0.48
    metric.update(clean, moved)
    assert rmse(clean, moved).tolist() == pytest.approx([0.1, 0.48 / 48**0.5])
    assert float(metric.compute()["rmse"]) == pytest.approx((0.1 + 0.48 / 48**0.5) / 2)
    assert float(metric.compute()["rel_l2"]) == pytest.approx((0.2 + 0.96 / 48**0.5) / 2)


def on_rank(rank, address, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    half = slice(0, 2) if rank == 0 else slice(2, 6)
    metric = DestructionRate()
    metric.update(*(part[half] for part in (CLEAN, ATTACKED, DEFENDED, LABELS)))
    results.put({name: float(value) for name, value in metric.compute().items()})
    torch.distributed.destroy_process_group()


def test_two_ranks(tmp_path):
    context = get_context("fork")
    results = context.SimpleQueue()
    ranks = [context.Process(target=on_rank, args=(rank, f"file://{tmp_path}/meet", results)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    found = [results.get() for _ in ranks]
    for process in ranks:
        process.join()
    whole = {name: float(value) for name, value in measured((CLEAN, ATTACKED, DEFENDED, LABELS)).items()}
    assert found == [whole, whole]
