"""What rankings are told about images that training does not see."""

import torch
from torch import nn

from callbacks.held_out import unchanged
from criteria import BatchStatistics, GraphSmoothness


def test_a_look_changes_nothing_that_a_criterion_keeps():
    criterion = GraphSmoothness(normalize=BatchStatistics(3))
    outputs, labels = torch.randn(8, 3), torch.arange(8) % 3
    criterion(outputs, labels)
    before = {name: value.clone() for name, value in criterion.state_dict().items()}, criterion.looks
    loss = unchanged(criterion)(5 * outputs + 2, labels)
    assert loss == criterion.eval()(5 * outputs + 2, labels)
    assert all(torch.equal(value, before[0][name]) for name, value in criterion.state_dict().items())
    assert criterion.looks == before[1]


def test_what_keeps_nothing_is_taken_as_it_is():
    assert unchanged(nn.functional.cross_entropy) is nn.functional.cross_entropy
