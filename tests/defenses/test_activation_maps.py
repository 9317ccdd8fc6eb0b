"""Activation maps against the weights of a linear head, and in the modes a network may be in."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.functional import jacobian

from defenses import (
    AuthorsActivationMap,
    ClassActivationMap,
    Defended,
    PixelDeflection,
    RobustActivationMap,
    Sequence,
    vote,
)
from defenses.activation_maps import class_maps
from networks import CifarResNet, TorchvisionClassifier

MAPS = [
    ClassActivationMap(),
    RobustActivationMap(),
    RobustActivationMap(1),
    RobustActivationMap(40),
    AuthorsActivationMap(),
]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    network = CifarResNet(20).eval()
    with torch.no_grad():
        network(torch.rand(4, 3, 32, 32))
    return network


class Deep(nn.Module):
    """A head that is neither pooled nor linear."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, stride=4)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(8 * 64, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, 4))

    def features(self, images):
        return self.convolution(images).relu()

    def head(self, features):
        return self.layers(features)


def by_weights(network, images):
    """The class maps (N, 10, h, w) of a network with a pooled and linear head, and its scores."""
    features = network.features(images)
    return torch.einsum("ck,nkhw->nchw", network.linear.weight, features), network(images)


def test_class_maps_are_those_of_the_linear_head(network, photographs):
    with torch.no_grad():
        maps, scores = by_weights(network, photographs)
    torch.testing.assert_close(maps.mean((2, 3)) + network.linear.bias, scores)
    ours = class_maps(network, network.features(photographs).detach(), 5)
    best = scores.topk(5).indices
    for place, mine in enumerate(ours):
        torch.testing.assert_close(mine, maps[torch.arange(8), best[:, place]], rtol=1e-4, atol=1e-4)


def test_the_robust_map_is_equation_4_5(network, photographs):
    robust = RobustActivationMap(5)
    robust.attach(network)
    with torch.no_grad():
        maps, scores = by_weights(network, photographs)
    best = scores.topk(5).indices
    expected = sum(maps[torch.arange(8), best[:, i]] / 2 ** (i + 1) for i in range(5)).unsqueeze(1)
    expected = F.interpolate(expected, (32, 32), mode="bilinear", align_corners=False).squeeze(1).clamp(min=0)
    expected = expected / expected.amax((1, 2), keepdim=True)
    torch.testing.assert_close(robust(photographs), expected, rtol=1e-4, atol=1e-4)


def test_the_authors_map_weighs_stretched_maps(network, photographs):
    authors = AuthorsActivationMap(5)
    authors.attach(network)
    with torch.no_grad():
        maps, scores = by_weights(network, photographs)
    best = scores.topk(5).indices
    mixed = 0
    for place, weight in enumerate([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1.2 / 16]):
        one = maps[torch.arange(8), best[:, place]]
        low, high = one.amin((1, 2), keepdim=True), one.amax((1, 2), keepdim=True)
        mixed = mixed + weight * (one - low) / (high - low)
    mixed = F.interpolate(mixed.unsqueeze(1), (32, 32), mode="bilinear", align_corners=False).squeeze(1)
    low, high = mixed.amin((1, 2), keepdim=True), mixed.amax((1, 2), keepdim=True)
    torch.testing.assert_close(authors(photographs), (mixed - low) / (high - low), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("activation_map", MAPS)
def test_maps_are_maps(activation_map, network, photographs):
    activation_map.attach(network)
    maps = activation_map(photographs)
    assert maps.shape == (8, 32, 32)
    assert maps.amin() >= 0
    assert ((maps.amax((1, 2)) - 1).abs() < 1e-6).all()
    assert not maps.requires_grad
    torch.testing.assert_close(activation_map(photographs.double()), maps, rtol=0, atol=1e-5)


@pytest.mark.parametrize("activation_map", MAPS)
def test_any_mode_any_head(activation_map, photographs):
    torch.manual_seed(0)
    network = Deep()
    activation_map.attach(network)
    maps = activation_map(photographs)
    torch.testing.assert_close(activation_map(photographs), maps, rtol=0, atol=0)  # no dropout
    assert all(part.training for part in network.modules())
    with torch.inference_mode():
        torch.testing.assert_close(activation_map(photographs.clone()), maps, rtol=0, atol=0)
    images = photographs.clone().requires_grad_()
    torch.testing.assert_close(activation_map(images), maps, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert images.grad is None


@pytest.mark.parametrize("classes", [1, 3, 40])
def test_under_any_head_weights_are_gradients_of_the_weighted_scores(classes, photographs):
    torch.manual_seed(0)
    network, robust = Deep().eval(), RobustActivationMap(classes)
    robust.attach(network)
    maps = []
    for image in photographs:
        features = network.features(image[None]).detach()
        derivatives = jacobian(network.head, features)[0, :, 0]  # (4, K, h, w)
        best = network.head(features)[0].argsort(descending=True)[:classes]
        weights = sum(derivatives[label].sum((1, 2)) / 2**i for i, label in enumerate(best, 1))
        maps.append((weights.view(-1, 1, 1) * features[0]).sum(0))
    expected = F.interpolate(torch.stack(maps)[:, None], (32, 32), mode="bilinear", align_corners=False)[:, 0]
    expected = expected.clamp(min=0) / expected.amax((1, 2), keepdim=True)
    torch.testing.assert_close(robust(photographs), expected, rtol=1e-4, atol=1e-4)


def test_a_network_that_classifies_before_it_pools(photographs):
    torch.manual_seed(0)
    robust = RobustActivationMap()
    robust.attach(TorchvisionClassifier("squeezenet1_1", 10).eval())
    maps = robust(F.interpolate(photographs[:2], (64, 64)))
    assert maps.shape == (2, 64, 64)
    assert maps.isfinite().all()


def test_where_nothing_speaks_for_a_class_the_map_is_zero(network):
    class Mute(Deep):
        def features(self, images):
            return torch.zeros(len(images), 8, 8, 8)

    for activation_map in MAPS:
        activation_map.attach(Mute())
        assert activation_map(torch.rand(2, 3, 32, 32)).eq(0).all()


def test_a_defence_does_not_own_the_network(network, photographs):
    defense = Sequence([PixelDeflection(100, 5, RobustActivationMap())])
    defense.attach(network)
    assert not list(defense.parameters())
    assert defense(photographs).shape == photographs.shape
    assert network.linear.weight.grad is None


class Detached(RobustActivationMap):
    """Refuses features that remember how they were computed."""

    def look(self, network, features):
        assert features.grad_fn is None
        return super().look(network, features)


def test_a_map_costs_at_most_a_fifth_more_than_a_forward_pass(network):
    """Counted in convolutions and linear layers, forwards and backwards."""
    forward, backward, handles = [], [], []
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            handles.append(part.register_forward_hook(lambda part, *_: forward.append(type(part))))
            handles.append(part.register_full_backward_hook(lambda part, *_: backward.append(type(part))))
    robust = Detached()
    robust.attach(network)
    maps = robust(torch.rand(2, 3, 32, 32))
    for handle in handles:
        handle.remove()
    assert maps.shape == (2, 32, 32)
    assert forward == [nn.Conv2d] * 19 + [nn.Linear]
    assert backward == [nn.Linear]


def test_refused_in_words(photographs):
    with pytest.raises(
        ValueError, match=r"RobustActivationMap needs feature maps, but Linear has no features\(images\)"
    ):
        PixelDeflection(activation_map=RobustActivationMap()).attach(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"RobustActivationMap has no network to look through: call attach"):
        PixelDeflection(activation_map=RobustActivationMap())(photographs)
    with pytest.raises(ValueError, match="RobustActivationMap: classes=0 must be at least 1"):
        RobustActivationMap(0)


class Glances(RobustActivationMap):
    """Counts how often the network is looked through."""

    count = 0

    def look(self, network, features):
        self.count += 1
        return super().look(network, features)


@pytest.mark.parametrize(("first", "looks"), [(False, 4), (True, 1)])
def test_the_runs_of_a_vote_share_the_map_of_one_image(first, looks, network, photographs):
    eyes = Glances()
    deflection, other = PixelDeflection(100, 5, eyes), PixelDeflection(20, 5)
    defended = Defended(network, Sequence([deflection, other] if first else [other, deflection]), votes=4)
    with torch.no_grad():
        scores = defended(photographs)
        assert eyes.count == looks
        apart = torch.stack([network(defended.defense(photographs, run)) for run in range(4)])
    assert torch.equal(scores, vote(apart))
    assert eyes.count == looks + 4  # nothing is kept afterwards


def test_runs_share_the_map_in_half_precision_too(network, photographs):
    eyes = Glances()
    defended = Defended(deepcopy(network).bfloat16(), PixelDeflection(100, 5, eyes), votes=4)
    with torch.no_grad():
        defended(photographs.bfloat16())
    assert eyes.count == 1


def test_a_map_that_is_shared_is_never_that_of_other_images(network, photographs):
    eyes = RobustActivationMap()
    eyes.attach(network)
    with eyes.looking_once():
        maps = [eyes(photographs[:4]), eyes(photographs[4:]), eyes(photographs[:4].clone())]
    assert torch.equal(maps[0], maps[2])
    assert torch.equal(maps[1], eyes(photographs[4:]))
