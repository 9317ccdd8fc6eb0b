"""What the tests of filters share: lively networks, and a network from which filters are cut out."""

import copy

import pytest
import torch
from torch import nn

from pruning import Evidence


@pytest.fixture
def lively():
    """Gives a network trained-looking BatchNorms and biases, so that nothing is zero by chance."""

    def enliven(network, seed=0):
        generator = torch.Generator().manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.running_mean.normal_(0, 0.3, generator=generator)
                if module.affine:
                    module.weight.data.uniform_(0.5, 1.5, generator=generator)
                    module.bias.data.normal_(0, 0.3, generator=generator)
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.data.normal_(0, 0.3, generator=generator)
        return network.eval()

    return enliven


@pytest.fixture
def some():
    """Chooses some of the filters of every layer, never all."""

    def choose(sites, share=0.4, seed=0):
        generator = torch.Generator().manual_seed(seed)
        chosen = {site.name: torch.rand(site.filters, generator=generator) < share for site in sites}
        for picked in chosen.values():
            picked[0], picked[-1] = True, False
        return chosen

    return choose


@pytest.fixture
def on_two_ranks():
    """Runs what looks at evidence as two ranks would, one after the other, every other batch each.

    The second run adds up the sums of both.
    """

    def run(look, batches):
        kept = []
        look(evidence=Evidence(batches[1::2], reduce=lambda tensor: kept.append(tensor.clone()) or tensor))
        found = look(evidence=Evidence(batches[::2], reduce=lambda tensor: tensor + kept.pop(0)))
        assert not kept
        return found

    return run


@pytest.fixture
def cut():
    """Cuts filters out of a copy of a network: its tensors become smaller, so that nothing may be forgotten."""

    def without(network, sites, chosen):
        smaller = copy.deepcopy(network)
        gone = {}
        for site in sites:
            picked = chosen[site.name].nonzero().flatten().tolist()
            for name in (site.weight, site.bias):
                gone.setdefault((name, 0), set()).update(picked)
            for norm in site.norms:
                channels = {c for f, c in zip(norm.filters, norm.channels) if f in picked}
                for name in (norm.weight, norm.bias, norm.mean, norm.variance):
                    gone.setdefault((name, 0), set()).update(channels)
            for read in site.columns:
                columns = {c for f, c in zip(read.filters, read.columns) if f in picked}
                gone.setdefault((read.weight, 1), set()).update(columns)
        for (name, dim), indices in gone.items():
            if name is not None:
                shrink(smaller, name, dim, indices)
        return smaller

    def shrink(network, name, dim, indices):
        path, _, leaf = name.rpartition(".")
        module = network.get_submodule(path)
        tensor = getattr(module, leaf)
        kept = torch.tensor([index for index in range(tensor.shape[dim]) if index not in indices])
        tensor.data = tensor.data.index_select(dim, kept)

    return without
