"""Other draws of initial weights."""

import torch
from torch import nn

from callbacks.initial_weights import redraw, state_on_cpu


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4))


def test_a_draw_has_the_same_entries_in_another_order():
    module = network()
    initial = state_on_cpu(module)
    drawn = redraw(module, initial, 1)
    assert drawn.keys() == initial.keys()
    for name in ("0.weight", "0.bias", "3.weight"):
        assert drawn[name].shape == initial[name].shape
        assert not torch.equal(drawn[name], initial[name])
        assert torch.equal(drawn[name].flatten().sort().values, initial[name].flatten().sort().values)


def test_buffers_and_frozen_parameters_stay():
    module = network()
    module[3].requires_grad_(False)
    module[1].running_mean.fill_(3.0)
    initial = state_on_cpu(module)
    drawn = redraw(module, initial, 1)
    for name in ("1.running_mean", "1.num_batches_tracked", "3.weight", "3.bias"):
        assert torch.equal(drawn[name], initial[name]), name


def test_a_draw_depends_on_its_number_alone():
    module = network()
    initial = state_on_cpu(module)
    one = redraw(module, initial, 1)
    torch.manual_seed(5)
    assert all(torch.equal(one[name], value) for name, value in redraw(module, initial, 1).items())
    assert not torch.equal(one["0.weight"], redraw(module, initial, 2)["0.weight"])


def test_shared_weights_stay_shared():
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    initial = state_on_cpu(module)
    module.load_state_dict(redraw(module, initial, 1))
    assert module[1].weight is module[0].weight
    assert not torch.equal(module[0].weight, initial["0.weight"])
    assert torch.equal(module[0].weight.detach().flatten().sort().values, initial["0.weight"].flatten().sort().values)


def test_no_copy_shares_memory_with_the_module():
    module = network()
    state = state_on_cpu(module)
    before = state["0.weight"].clone()
    with torch.no_grad():
        module[0].weight.zero_()
    assert torch.equal(state["0.weight"], before)
