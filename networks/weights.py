"""Read weights from a file into a network: tensors only, and all of them or none."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from networks.network import Network
from networks.torchscript_classifier import is_torchscript

# Where training scripts put a state dict: Lightning and many others, their variants, torchvision, kuangliu.
NESTS = ("state_dict", "model_state_dict", "model", "net")


def load_weights(network: Network, path: str | Path) -> None:
    """Fill a network with the weights of a file, or leave it untouched and say why.

    The file holds tensors by name, at its top or under ``state_dict``. Of a checkpoint of this platform the network's
    part is taken. Prefixes of data-parallel and compiled training are ignored, and counts of BatchNorm steps may be
    missing. The network keeps its own mean and std.

    Args:
        network: the network to fill.
        path: a file that ``torch.save`` wrote; nothing but tensors and plain values is ever unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, does not fit the network, or belongs to another normalisation of images.
    """
    weights = network.rename_weights(_own_part(_state_dict(Path(path).expanduser()), path))
    own = network.state_dict()
    for name in ("normalize.mean", "normalize.std"):
        if name in weights:
            _check_normalization(name, weights.pop(name), own[name], path)
    if problems := misfits(own, weights):
        raise ValueError(f"{path} does not fit {type(network).__name__}: weights {problems}")
    network.load_state_dict(own | weights)


def misfits(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    """In words, which weights are missing, unknown or of another shape; empty where all fit."""
    return "; ".join(_missing_and_unexpected(own, weights) + _other_shapes(own, weights))


def _state_dict(path: Path) -> object:
    """The content of a file, or the state dict that is nested in it."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}: give the path of a checkpoint")
    if is_torchscript(path):
        raise ValueError(
            f"{path} is a TorchScript program, but only tensors are loaded: save the module's state_dict(), or "
            "take TorchScriptClassifier"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types over files that it cannot read
        raise ValueError(
            f"{path} cannot be read: only tensors are loaded and no other object is unpickled, so it must be a "
            "complete file that torch.save wrote of a state_dict()"
        ) from error
    if isinstance(content, Mapping):
        return next((content[nest] for nest in NESTS if isinstance(content.get(nest), Mapping)), content)
    return content


def _own_part(state_dict: object, path: str | Path) -> dict[str, Tensor]:
    """The network's tensors by name, without what training wrappers put before the names."""
    weights = {str(name): value for name, value in state_dict.items()} if isinstance(state_dict, Mapping) else {}
    if any(name.startswith("network.") for name in weights):  # beside it: readout, criterion and so on
        weights = {name[len("network.") :]: value for name, value in weights.items() if name.startswith("network.")}
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(
            f"{path} holds no weights: only tensors by name are loaded, so save the network's state_dict()"
        )
    return {re.sub(r"^((module|_orig_mod)\.)+", "", name): value for name, value in weights.items()}


def _check_normalization(name: str, saved: Tensor, own: Tensor, path: str | Path) -> None:
    """Refuse weights that were trained with another normalisation; the file's precision decides what is equal."""
    if saved.shape == own.shape and torch.allclose(saved.float(), own.to(saved.dtype).float(), rtol=0, atol=1e-6):
        return
    in_file, in_network = ([round(value, 6) for value in values.flatten().tolist()] for values in (saved, own.float()))
    raise ValueError(
        f"{path} was trained with {name}={in_file}, but the network has {in_network}: "
        f"set {name.removeprefix('normalize.')}={in_file}"
    )


def _missing_and_unexpected(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    optional = ("normalize.mean", "normalize.std", "num_batches_tracked")
    missing = [name for name in own if name not in weights and not name.endswith(optional)]
    unexpected = [name for name in weights if name not in own]
    problems = [f"missing from the file: {len(missing)} ({_some(missing)})"] if missing else []
    return problems + ([f"unknown to the network: {len(unexpected)} ({_some(unexpected)})"] if unexpected else [])


def _other_shapes(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    both = [(name, tuple(weights[name].shape), tuple(own[name].shape)) for name in own if name in weights]
    wrong = [(name, saved, wanted) for name, saved, wanted in both if saved != wanted]
    if not wrong:
        return []
    shapes = _some([f"{name} is {saved} in the file and {wanted} in the network" for name, saved, wanted in wrong])
    head = list(own)[-1].rpartition(".")[0]
    only_head = all(name.rpartition(".")[0] == head and saved[1:] == wanted[1:] for name, saved, wanted in wrong)
    hint = f"; only the head differs: set num_classes={wrong[0][1][0]}" if only_head else ""
    return [f"of another shape: {len(wrong)} ({shapes}){hint}"]


def _some(names: list[str]) -> str:
    """The first three, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
