"""Corruption errors against hand counts."""

from functools import partial

import pytest
import torch
import torch.multiprocessing as mp

from metrics import CorruptionError, corruption_errors, relative_corruption_errors

LABELS = torch.tensor([0, 1, 2, 1])
CLEAN = torch.tensor([0, 1, 2, 0])
CORRUPTED = torch.tensor([[[0, 1, 2, 1], [0, 1, 1, 1]], [[1, 1, 1, 1], [3, 3, 3, 3]], [[0, 0, 0, 0], [0, 1, 0, 0]]])
ERRORS = torch.tensor([[0.0, 0.25], [0.5, 1.0], [0.75, 0.5]], dtype=torch.float64)


def counted(*slices):
    metric = CorruptionError(3, 2)
    for rows in slices:
        metric.update(CLEAN[rows], CORRUPTED[..., rows], LABELS[rows])
    return metric


@pytest.mark.parametrize("slices", [[slice(0, 4)], [slice(0, 1), slice(1, 1), slice(1, 4)]])
def test_hand_count_whatever_the_batches(slices):
    found = counted(*slices).compute()
    assert found["clean"] == 0.25
    assert found["errors"].equal(ERRORS)
    assert found["mean"] == 0.5


def count_one_rank(rank, address, results):
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    found = counted(slice(0, 1) if rank == 0 else slice(1, 4)).compute()
    results[rank] = (found["clean"].item(), found["errors"].tolist())
    torch.distributed.destroy_process_group()


def test_two_ranks_sum_their_counts(tmp_path):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.start_processes(partial(count_one_rank, address=f"file://{tmp_path}/r", results=results), nprocs=2,
                           start_method="fork")  # fmt: skip
        assert results[0] == results[1] == (0.25, ERRORS.tolist())


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_undefined_is_nan():
    found = CorruptionError(3, 2).compute()
    assert found["clean"].isnan()
    assert found["errors"].isnan().all()
    assert found["mean"].isnan()


def test_the_mean_of_ratios_is_not_the_ratio_of_means():
    errors = torch.tensor([[0.1, 0.1], [0.4, 0.4]], dtype=torch.float64)
    baseline = torch.tensor([[0.1, 0.3], [0.5, 0.3]], dtype=torch.float64)
    ratios = corruption_errors(errors, baseline)
    torch.testing.assert_close(ratios, torch.tensor([50.0, 100.0], dtype=torch.float64))
    assert ratios.mean() == pytest.approx(75)
    assert 100 * errors.sum() / baseline.sum() == pytest.approx(83.3333333)  # pooled


def test_relative_by_hand():
    errors = torch.tensor([[0.2, 0.4], [0.3, 0.3]], dtype=torch.float64)
    baseline = torch.tensor([[0.3, 0.7], [0.3, 0.4]], dtype=torch.float64)
    found = relative_corruption_errors(errors, torch.tensor(0.1), baseline, torch.tensor(0.2))
    torch.testing.assert_close(found, torch.tensor([100 * 0.4 / 0.6, 100 * 0.4 / 0.3], dtype=torch.float64))


def test_a_baseline_against_itself_is_exactly_100():
    errors = torch.rand(15, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    clean = errors.min() / 2
    assert corruption_errors(errors, errors).eq(100).all()
    assert relative_corruption_errors(errors, clean, errors, clean).eq(100).all()
    torch.testing.assert_close(corruption_errors(0.5 * errors, errors), torch.full((15,), 50.0, dtype=torch.float64))


def test_what_no_ratio_can_say_is_nan_and_never_clipped():
    errors = torch.tensor([[0.2, 0.3], [0.2, 0.3], [0.2, 0.3]], dtype=torch.float64)
    baseline = torch.tensor([[0.1, 0.1], [0.0, 0.1], [0.3, 0.3]], dtype=torch.float64)
    found = relative_corruption_errors(errors, torch.tensor(0.1), baseline, torch.tensor(0.1))
    assert found.isnan().tolist() == [True, True, False]  # adds nothing, lowers the error, raises it
    assert found.mean().isnan()
    assert corruption_errors(errors[:1], torch.zeros(1, 2, dtype=torch.float64)).isnan().all()
