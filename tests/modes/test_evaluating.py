"""Eval mode for a while."""

import pytest
from torch import nn

from modes import evaluating


def test_every_part_gets_its_own_flag_back_also_after_an_error():
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm2d(1), nn.Dropout()))
    network[1][0].eval()
    flags = [part.training for part in network.modules()]
    with evaluating(network):
        assert not any(part.training for part in network.modules())
    assert [part.training for part in network.modules()] == flags
    with pytest.raises(TypeError), evaluating(network):
        network("no image")
    assert [part.training for part in network.modules()] == flags
