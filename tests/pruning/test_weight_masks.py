"""Which single weights leave."""

import pytest
import torch
from torch import nn

from pruning import smallest_weights


def layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.Flatten(), nn.Linear(7, 5))


@pytest.mark.parametrize("percent", [1, 30, 50, 95])
def test_the_smallest_of_each_layer_leave(percent):
    network = layers()
    keep = smallest_weights(network, percent)
    assert list(keep) == ["0.weight", "3.weight"]
    for name, kept in keep.items():
        sizes = network.get_parameter(name).detach().abs()
        assert (~kept).sum() == round(percent / 100 * sizes.numel())
        if not kept.all():
            assert sizes[~kept].max() <= sizes[kept].min()


def test_the_smallest_of_the_network_leave():
    network = layers()
    keep = smallest_weights(network, 40, whole_network=True)
    left = torch.cat([network.get_parameter(name).detach().abs()[~kept] for name, kept in keep.items()])
    stayed = torch.cat([network.get_parameter(name).detach().abs()[kept] for name, kept in keep.items()])
    assert len(left) == round(0.4 * (189 + 35))
    assert left.max() <= stayed.min()


def test_one_weight_of_a_layer_stays():
    assert [int(kept.sum()) for kept in smallest_weights(layers(), 99.9).values()] == [1, 1]


def test_equal_weights_leave_in_their_order():
    network = nn.Linear(4, 1)
    nn.init.ones_(network.weight)
    assert smallest_weights(network, 50)["weight"].tolist() == [[False, False, True, True]]


def test_refuses_to_remove_everything():
    with pytest.raises(ValueError, match="percent=100 must lie between"):
        smallest_weights(layers(), 100)
