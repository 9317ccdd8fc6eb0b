"""A cycle of RePr as a notebook would run it, interrupted in the middle."""

import copy

import torch
from torch import nn

from networks import VanillaConvNet
from pruning import (
    Mask,
    Orthogonality,
    bring_back,
    clear_optimizer_state,
    entries,
    find_sites,
    initial_norms,
    keep_all_but,
    remove,
    select,
)


class Run:
    """What a callback would hold; ``state`` is what it would save."""

    def __init__(self):
        torch.manual_seed(0)
        self.network = VanillaConvNet(width=8, pools=2, image_size=8)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
        self.sites = find_sites(self.network, torch.zeros(1, 3, 8, 8)).sites
        self.norms = initial_norms(self.network, self.sites)
        self.chosen, self.old, self.mask = {}, {}, None

    def train(self, *steps):
        self.network.train()
        for step in steps:
            generator = torch.Generator().manual_seed(step)
            images, labels = torch.rand(8, 3, 8, 8, generator=generator), torch.randint(10, (8,), generator=generator)
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.network(images), labels).backward()
            self.optimizer.step()
            if self.mask is not None:
                self.mask.apply()

    def drop(self):
        importance = Orthogonality().importance(self.network, self.sites)
        self.chosen = select(importance, percent=30)
        self.old = remove(self.network, entries(self.sites, self.chosen))
        self.forget()
        self.hold()

    def keep(self):
        return keep_all_but(self.network, entries(self.sites, self.chosen))

    def hold(self):
        self.mask = Mask(self.network, self.keep())

    def forget(self):
        clear_optimizer_state(self.network, self.optimizer, self.keep())

    def take_back(self):
        generator = torch.Generator().manual_seed(5)
        bring_back(self.network, self.sites, self.chosen, self.old, self.norms, generator)
        self.forget()
        self.mask = None

    def state(self):
        own = {"chosen": self.chosen, "old": self.old, "norms": self.norms}
        return copy.deepcopy(own | {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()})

    def load(self, state):
        self.chosen, self.old, self.norms = state["chosen"], state["old"], state["norms"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.hold()


def test_resumed_cycle_ends_bit_equal(tmp_path):
    whole = Run()
    whole.train(0, 1, 2)
    whole.drop()
    whole.train(3, 4)
    torch.save(whole.state(), tmp_path / "state.pt")
    for run in (whole, resumed := Run()):
        if run is resumed:
            run.load(torch.load(tmp_path / "state.pt", weights_only=True))
        run.train(5, 6)
        assert not any(
            run.network.get_parameter(name)[indices].any() for name, indices in entries(run.sites, run.chosen).items()
        )
        run.take_back()
        run.train(7, 8)
    assert sum(int(picked.sum()) for picked in whole.chosen.values()) == round(0.3 * 16)
    for mine, other in zip(whole.network.state_dict().values(), resumed.network.state_dict().values()):
        assert torch.equal(mine, other)
