"""Fooling rates of several perturbations and networks against counts by hand."""

import torch

from metrics import TransferMatrix


def test_counts_by_hand():
    metric = TransferMatrix(2, 3)
    before = torch.tensor([[0, 1], [2, 2], [1, 0]])
    after = torch.stack([before, torch.tensor([[1, 1], [0, 0], [1, 1]])])
    metric.update(before, after)
    metric.update(before[:, :1], after[:, :, :1])
    found = metric.compute()
    assert found["images"] == 3
    torch.testing.assert_close(found["rates"] * 3, torch.tensor([[0, 0, 0], [2, 3, 1]]).double())


def test_no_image_is_nan():
    metric = TransferMatrix(1, 2)
    metric.update(torch.zeros(2, 0), torch.zeros(1, 2, 0))
    assert metric.compute()["rates"].isnan().all()
