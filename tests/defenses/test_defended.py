"""A network that defends its input."""

import pytest
import torch
from torch import nn

from defenses import BitDepth, Crop, Defended, Identity, PixelDeflection, RobustActivationMap, Sequence, Vote, looking
from networks import CifarResNet


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return CifarResNet(8).eval()


class Classifier(nn.Module):
    """A network with a readout, as a LightningModule has them."""

    def __init__(self, network, readout):
        super().__init__()
        self.network, self.readout = network, readout

    def forward(self, images):
        return self.readout(self.network(images))


def test_it_is_the_network_behind_the_defence(network, photographs):
    defense = Sequence([BitDepth(3), PixelDeflection(200)])
    expected = network(defense(photographs))
    torch.testing.assert_close(Defended(network, defense)(photographs), expected)
    torch.testing.assert_close(Defended(network, Identity(), votes=10)(photographs), network(photographs))
    assert not Defended(network, defense, run=1)(photographs).equal(expected)


def test_several_runs_vote(network, photographs):
    defense = PixelDeflection(400)
    expected = Vote(defense, 3)(network, photographs, run=2)
    torch.testing.assert_close(Defended(network, defense, votes=3, run=2)(photographs), expected)


def test_maps_are_its_own(network, photographs):
    defense = PixelDeflection(400, activation_map=RobustActivationMap())
    defended = Defended(network, defense)
    by_hand = PixelDeflection(400, activation_map=RobustActivationMap())
    by_hand.attach(network)
    torch.testing.assert_close(defended(photographs), network(by_hand(photographs)))
    torch.testing.assert_close(defended.head(defended.features(photographs)), defended(photographs))
    assert set(defended.state_dict()) == {f"network.{name}" for name in network.state_dict()}


def test_one_defence_serves_two_networks(network, photographs):
    torch.manual_seed(1)
    defense, other = PixelDeflection(400, activation_map=RobustActivationMap()), CifarResNet(8).eval()
    first = Defended(network, defense)
    scores = first(photographs)
    second = Defended(other, defense)(photographs)
    assert torch.equal(first(photographs), scores)
    assert not torch.equal(second, scores)


def test_the_runs_of_a_generator_do_not_depend_on_the_batches(network, photographs):
    defended = Defended(network, Sequence([PixelDeflection(50, 3), Crop()]), votes=3)
    defended.defense.generator = torch.Generator().manual_seed(3)
    whole, again = defended(photographs), defended(photographs)
    defended.defense.generator.manual_seed(3)
    parts = torch.cat([defended(part) for part in photographs.split([1, 4, 3])])
    torch.testing.assert_close(parts, whole)
    assert not torch.equal(again, whole)


def test_gradients_run_through_it(network, photographs):
    defended = Defended(network, Sequence([BitDepth(3), PixelDeflection(50)]), votes=2)
    images = photographs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(defended(images).logsumexp(1).sum(), images)
    assert (gradient != 0).any()


def test_maps_of_a_classifier_with_a_readout(network, photographs):
    assert looking(network) is network
    assert looking(Classifier(network, nn.Identity())) is network
    doubled = Classifier(network, nn.Linear(10, 4))
    view = looking(doubled)
    torch.testing.assert_close(view.head(view.features(photographs)), doubled(photographs))


def test_half_of_two_halves_is_refused():
    class Features(nn.Module):
        def features(self, images):
            return images

    with pytest.raises(ValueError, match="needs feature maps, but Features has no features"):
        Defended(Classifier(Features(), nn.Linear(10, 4)), PixelDeflection(10, activation_map=RobustActivationMap()))


@pytest.mark.parametrize("plain", [nn.Flatten(), Classifier(nn.Flatten(), nn.Identity())])
def test_a_network_without_feature_maps_is_refused_where_a_map_is_asked_for(plain):
    with pytest.raises(ValueError, match="needs feature maps, but Flatten has no features"):
        Defended(plain, PixelDeflection(10, activation_map=RobustActivationMap()))
    Defended(plain, PixelDeflection(10))
