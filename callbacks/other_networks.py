"""Networks that stand beside the one that is trained, to be attacked as well or to teach it."""

from collections.abc import Callable, Mapping, Sequence

import torch
from lightning import Trainer
from torch import nn

from callbacks.channels_last import ChannelsLast
from callbacks.teaching import frozen

Maker = Callable[[], nn.Module]  # a network, or what makes it when it is needed
Networks = Mapping[str, Maker] | Sequence[Maker]


def by_name(networks: Networks) -> dict[str, Maker]:
    """Networks with the names that they were given; in a list they are called network_1, network_2 and so on."""
    if isinstance(networks, Mapping):
        return dict(networks)
    return {f"network_{number}": network for number, network in enumerate(networks, 1)}


def put_beside(trainer: Trainer, networks: Mapping[str, Maker]) -> dict[str, nn.Module]:
    """The networks, frozen and on the device of this rank.

    They are no part of the module that is trained, so neither checkpoints nor optimisers nor DDP know of them, and no
    random number of the caller is used up.
    """
    with torch.random.fork_rng(devices=[]):
        made = {name: one if isinstance(one, nn.Module) else one() for name, one in networks.items()}
    return {name: frozen_beside(trainer, network) for name, network in made.items()}


def frozen_beside(trainer: Trainer, network: nn.Module) -> nn.Module:
    """The network, without gradients of its weights, on the device and in the precision and order of the trainer."""
    network = trainer.precision_plugin.convert_module(frozen(network)).to(trainer.strategy.root_device)
    kept = any(isinstance(callback, ChannelsLast) for callback in getattr(trainer, "callbacks", []))
    return network.to(memory_format=torch.channels_last) if kept else network
