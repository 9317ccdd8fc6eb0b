import copy

import pytest
import torch
from torch import nn

from attacks import attackable


def snapshot(model):
    return {
        "training": [part.training for part in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "state": copy.deepcopy(model.state_dict()),
        "random": torch.get_rng_state(),
    }


def assert_unchanged(before, after):
    torch.testing.assert_close(after, before, rtol=0, atol=0)


@pytest.fixture
def disturbed(network):
    """A network in train mode of which a part is frozen, with gradients left by a training step."""
    network.train()
    network.layers[1].eval()
    network.layers[0].bias.requires_grad_(False)
    network.layers[8].weight.grad = torch.ones_like(network.layers[8].weight)
    return network


def attack_once(model, images):
    with attackable(model, images) as (images,):
        images.requires_grad_()
        (gradient,) = torch.autograd.grad(model(images).square().sum(), images)
    return gradient


def test_nothing_is_left_behind(disturbed):
    before = snapshot(disturbed)
    with attackable(disturbed):
        assert not any(part.training for part in disturbed.modules())
        assert not any(parameter.requires_grad for parameter in disturbed.parameters())
        torch.rand(3)
    assert_unchanged(before, snapshot(disturbed))


def test_nothing_is_left_behind_after_an_error(disturbed):
    before = snapshot(disturbed)
    with pytest.raises(IndexError), attackable(disturbed):
        torch.rand(3)[5]
    assert_unchanged(before, snapshot(disturbed))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_gradients_in_every_mode(disturbed, mode):
    expected = attack_once(disturbed, torch.full((2, 1, 8, 8), 0.5))
    before = snapshot(disturbed)
    with mode():
        images = torch.full((2, 1, 8, 8), 0.5)  # in inference mode an inference tensor
        gradient = attack_once(disturbed, images)
        assert not images.requires_grad
    assert gradient.abs().sum() > 0
    assert not gradient.is_inference()
    torch.testing.assert_close(gradient, expected)
    assert_unchanged(before, snapshot(disturbed))


def test_a_model_that_was_made_in_inference_mode():
    with torch.inference_mode():
        model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3))
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    assert attack_once(model, torch.rand(5, 1, 2, 2)).abs().sum() > 0
    after = dict(model.named_parameters()) | dict(model.named_buffers())
    assert all(after[name] is tensor for name, tensor in tensors.items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_method_of_a_module_is_frozen_as_well(disturbed):
    with attackable(disturbed.forward):
        assert not disturbed.layers[6].training
    assert disturbed.layers[6].training


def test_any_callable_and_none():
    with torch.inference_mode(), attackable(torch.sin, torch.ones(2), None) as (images, labels):
        assert labels is None
        (gradient,) = torch.autograd.grad(images.requires_grad_().sin().sum(), images)
    torch.testing.assert_close(gradient, torch.ones(2).cos())


def test_autocast_stays_as_it_was(network):
    with torch.autocast("cpu", torch.bfloat16), attackable(network):
        assert network(torch.rand(2, 1, 8, 8)).dtype == torch.bfloat16
    with attackable(network):
        assert network(torch.rand(2, 1, 8, 8)).dtype == torch.float32


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript(network):
    scripted = torch.jit.script(network.train())
    with torch.inference_mode():
        assert attack_once(scripted, torch.rand(2, 1, 8, 8)).abs().sum() > 0
    assert scripted.training
