"""Networks of earlier runs, rebuilt from their run folders."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError, ArgumentParser
from omegaconf import OmegaConf
from torch import nn


@dataclass(frozen=True)
class Role:
    """What an earlier network is wanted for, in the sentences that refuse one.

    Attributes:
        name: such as "teacher".
        instead: what to do where a network can't be rebuilt.
        of_embeddings: what to do where it gives embeddings.
    """

    name: str
    instead: str
    of_embeddings: str


def load_network(checkpoint: Path, role: Role) -> nn.Module:
    """The network of a run, with the weights of a checkpoint; no random number of the caller is used up.

    Args:
        checkpoint: ``runs/NAME/VERSION/checkpoints/best.ckpt``; the run's ``config.yaml`` says what was trained.
        role: what it is wanted for.

    Raises:
        FileNotFoundError: there is no such checkpoint, or no ``config.yaml`` of its run.
        ValueError: the network can't be rebuilt, or the weights don't fit it.
    """
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"there is no {role.name} {checkpoint}: train one first, for example with --name {role.name}, and give its "
            "checkpoint"
        )
    config = checkpoint.parent.parent / "config.yaml"
    if not config.is_file():
        raise FileNotFoundError(
            f"there is no {config}, which would say what network {checkpoint} belongs to: {role.instead}"
        )
    with torch.random.fork_rng(devices=[]):
        return _build(_network_options(config, role), checkpoint, config, role)


def _network_options(config: Path, role: Role) -> dict[str, Any]:
    """How a run's network is built."""
    content: Any = OmegaConf.to_container(OmegaConf.load(config))
    options = (content.get("model") or {}).get("init_args") or {}
    if not options.get("network"):
        raise ValueError(
            f"{config} has no model.init_args.network: only the network of a Classifier can be a {role.name}"
        )
    if options.get("readout") or has_readout_of_its_own(options.get("criterion")):
        raise ValueError(f"the network of {config} gives embeddings, not class scores: {role.of_embeddings}")
    network: dict[str, Any] = options["network"]
    return network


def has_readout_of_its_own(criterion: dict[str, Any] | None) -> bool:
    """Whether a criterion of a config takes embeddings, and says how to read classes off them."""
    module, _, name = (criterion or {}).get("class_path", "").rpartition(".")
    return bool(module) and hasattr(getattr(import_module(module), name, None), "make_readout")


def _build(options: dict[str, Any], checkpoint: Path, config: Path, role: Role) -> nn.Module:
    """The network loads its weights itself, as it does from the command line."""
    arguments = (options.get("init_args") or {}) | {"weights": str(checkpoint)}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    try:
        parsed = parser.parse_object({"network": options | {"init_args": arguments}})
    except ArgumentError as error:
        raise ValueError(
            f"the network of {config} can't be rebuilt ({' '.join(str(error).split())}): {role.instead}"
        ) from error
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes  # its name before 4.49
    network: nn.Module = instantiate(parsed).network
    return network
