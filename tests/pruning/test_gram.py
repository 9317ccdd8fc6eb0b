"""Inner products that are computed once for both."""

import pytest
import torch

from pruning.gram import BLOCK, gram


@pytest.mark.parametrize("count", [1, BLOCK, BLOCK + 1, 300])
def test_all_products_and_their_gradients(count):
    rows = torch.randn(count, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    plain, halved = rows.clone().requires_grad_(), rows.clone().requires_grad_()
    expected, found = plain @ plain.T, gram(halved)
    torch.testing.assert_close(found, expected)
    expected.pow(3).sum().backward()
    found.pow(3).sum().backward()
    torch.testing.assert_close(halved.grad, plain.grad)
