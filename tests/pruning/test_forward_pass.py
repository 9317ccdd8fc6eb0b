"""A recorded forward pass does what the network does, on other images, with other weights, without writing in place."""

import pytest
import torch
from torch import nn

from networks import CifarDenseNet, CifarResNet, CifarVGG16, PreActResNet18, TorchvisionClassifier, WideResNet
from pruning.forward_pass import aligned, record

NETWORKS = {
    "ResNet": lambda: CifarResNet(8),
    "DenseNet": lambda: CifarDenseNet(10, 4),
    "VGG": lambda: CifarVGG16(),
    "PreAct": lambda: PreActResNet18(),
    "WRN": lambda: WideResNet(10, 1, dropout=0.3),
    "GoogLeNet": lambda: TorchvisionClassifier("googlenet", 5),
    "MobileNet": lambda: TorchvisionClassifier("mobilenet_v3_small", 5),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_replay_is_the_network(make, lively):
    network = lively(make())
    forward_pass = record(network, torch.zeros(3, 3, 64, 64))
    lively(network, seed=1)  # the weights that it reads are the network's
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
        values = forward_pass.run(images)
        assert torch.equal(values[forward_pass.outputs[0]], expected)
        live = {0: images}
        for start, stop in [(0, 5), (5, len(forward_pass.steps))]:
            forward_pass.advance(live, start, stop)
        assert live.keys() == {forward_pass.outputs[0]}
        assert torch.equal(live[forward_pass.outputs[0]], expected)
    assert aligned(record(network, images[:1]), forward_pass)


class InPlace(nn.Module):
    def forward(self, images):
        x = images * 2
        y = x + 1
        y += x
        torch.relu_(y)
        return {"scores": (y, x[..., 0])}


def test_values_stay_what_they_were_when_they_were_made():
    network = nn.Sequential(nn.Conv2d(1, 1, 1), InPlace())
    network[0].weight.data.fill_(1)
    network[0].bias.data.fill_(0)
    forward_pass = record(network, torch.zeros(1, 1, 1, 2))
    assert [step.name for step in forward_pass.steps] == ["conv2d", "mul", "add", "add", "relu", "getitem"]
    values = forward_pass.run(torch.tensor([[[[1.0, -1.0]]]]))
    assert [values[step.results[0]].flatten().tolist() for step in forward_pass.steps] == [
        [1, -1],
        [2, -2],
        [3, -1],
        [5, -3],
        [5, 0],
        [2],
    ]
    assert forward_pass.outputs == [forward_pass.steps[4].results[0], forward_pass.steps[5].results[0]]


def test_gradients_flow_through_in_place_operations():
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True))
    images = torch.rand(2, 1, 3, 3)
    values = record(network, images).run(images)
    values[2].sum().backward()
    expected = torch.autograd.grad(network(images).sum(), network[0].weight)[0]
    torch.testing.assert_close(network[0].weight.grad, expected)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, images):
        self.calls += 1
        return self.conv(images).mean((2, 3))


def test_networks_that_write_into_themselves_are_refused():
    with pytest.raises(ValueError, match=r"writes into its own buffers \(add_\) in eval mode"):
        record(Counting(), torch.zeros(1, 3, 4, 4))
