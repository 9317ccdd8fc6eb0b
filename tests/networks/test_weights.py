"""Weights come in from every usual kind of file, or are refused in words with the network untouched."""

import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from networks import CIFAR10_MEAN, CIFAR10_STD, CifarResNet, Network, TorchvisionClassifier, load_weights

State = dict[str, Tensor]


@pytest.fixture
def trained() -> CifarResNet:
    torch.manual_seed(1)
    network = CifarResNet(8)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
    return network


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pt"


def without_normalization(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith("normalize.")}


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def refusal(network: Network, path: Path) -> str:
    """The sentence with which a file is refused; the network must not have changed."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        load_weights(network, path)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    return str(caught.value)


def checkpoint(state: State) -> dict:
    """A Lightning checkpoint of this platform, whose readout and criterion have tensors of their own."""
    other = {
        "readout.embeddings": torch.rand(3, 2),
        "readout.labels": torch.arange(3),
        "criterion.weight": torch.rand(2),
    }
    return {"epoch": 3, "state_dict": prefixed("network.", state) | other, "callbacks": {"RePr": {"cycle": 1}}}


FORMS = {
    "plain": lambda state: state,
    "without normalisation": without_normalization,
    "without step counts": lambda state: {name: state[name] for name in state if "num_batches" not in name},
    "nested": lambda state: {"state_dict": state, "best_prec1": 91.7},
    "torchvision's nest": lambda state: {"model": state, "epoch": 2},
    "data-parallel": lambda state: {"state_dict": prefixed("module.", without_normalization(state))},
    "compiled": lambda state: prefixed("_orig_mod.", state),
    "compiled and data-parallel": lambda state: prefixed("_orig_mod.module.", state),
    "our checkpoint": checkpoint,
    "our checkpoint, compiled": lambda state: checkpoint(prefixed("_orig_mod.", state)),
    "half precision": lambda state: {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_round_trip(form: Callable[[State], dict], trained: CifarResNet, path: Path) -> None:
    torch.save(form(trained.state_dict()), path)
    loaded = CifarResNet(8, weights=str(path)).eval()
    images = torch.rand(2, 3, 32, 32)
    tolerance = 1e-1 if form is FORMS["half precision"] else 0
    torch.testing.assert_close(loaded(images), trained.eval()(images), rtol=0, atol=tolerance)
    torch.testing.assert_close(loaded.normalize.mean.flatten(), torch.tensor(CIFAR10_MEAN))


def test_old_file_format(trained: CifarResNet, path: Path) -> None:
    torch.save(trained.state_dict(), path, _use_new_zipfile_serialization=False)
    torch.testing.assert_close(CifarResNet(8, weights=str(path)).state_dict(), trained.state_dict())


def test_other_normalisation_is_refused(trained: CifarResNet, path: Path) -> None:
    torch.save(checkpoint(trained.state_dict()), path)
    sentence = refusal(CifarResNet(8, mean=(0.5, 0.5, 0.5), std=CIFAR10_STD), path)
    assert "normalize.mean=[0.4914, 0.4822, 0.4465], but the network has [0.5, 0.5, 0.5]" in sentence
    assert "set mean=[0.4914, 0.4822, 0.4465]" in sentence
    assert "set std=" in refusal(CifarResNet(8, std=(0.25, 0.25, 0.25)), path)


def test_missing_and_unexpected(trained: CifarResNet, path: Path) -> None:
    state = without_normalization(trained.state_dict())
    extra = {f"other{index}.weight": torch.rand(1) for index in range(5)}
    torch.save({name: state[name] for name in state if not name.startswith(("conv1", "bn1"))} | extra, path)
    sentence = refusal(CifarResNet(8), path)
    assert str(path) in sentence
    assert "does not fit CifarResNet" in sentence
    assert "weights missing from the file: 5 (conv1.weight, bn1.weight, bn1.bias and 2 more)" in sentence
    assert "unknown to the network: 5 (other0.weight, other1.weight, other2.weight and 2 more)" in sentence


def test_another_depth(trained: CifarResNet, path: Path) -> None:
    torch.save(trained.state_dict(), path)
    sentence = refusal(CifarResNet(20), path)
    assert " (layer1.1.conv1.weight" in sentence
    assert "unknown" not in sentence


def test_another_head_names_the_option(path: Path) -> None:
    torch.save(CifarResNet(8, num_classes=100).state_dict(), path)
    sentence = refusal(CifarResNet(8), path)
    assert "linear.weight is (100, 64) in the file and (10, 64) in the network" in sentence
    assert sentence.endswith("only the head differs: set num_classes=100")


def test_another_shape_elsewhere_gives_no_hint(trained: CifarResNet, path: Path) -> None:
    state = trained.state_dict() | {"linear.weight": torch.rand(10, 65), "conv1.weight": torch.rand(16, 1, 3, 3)}
    torch.save(state, path)
    sentence = refusal(CifarResNet(8), path)
    assert "conv1.weight is (16, 1, 3, 3) in the file and (16, 3, 3, 3) in the network" in sentence
    assert "num_classes" not in sentence


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no weights file .*absent.pt: give the path"):
        CifarResNet(8, weights=str(tmp_path / "absent.pt"))
    with pytest.raises(FileNotFoundError, match="there is no weights file"):
        CifarResNet(8, weights=str(tmp_path))


class Trap:
    """An object whose unpickling would be seen."""

    sprung: list[str] = []

    def __reduce__(self) -> tuple:
        return (Trap.sprung.append, ("unpickled",))


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_are_never_unpickled(zipped: bool, trained: CifarResNet, path: Path) -> None:
    content = {"state_dict": trained.state_dict(), "args": Trap()}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert "only tensors are loaded" in refusal(CifarResNet(8), path)
    path.write_bytes(pickle.dumps(content))
    assert "only tensors are loaded" in refusal(CifarResNet(8), path)
    assert Trap.sprung == []


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.99])
@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_file(kept: float, zipped: bool, trained: CifarResNet, path: Path) -> None:
    torch.save(trained.state_dict(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert "complete file" in refusal(CifarResNet(8), path)


def test_no_checkpoint_at_all(path: Path) -> None:
    path.write_text("epoch,loss\n1,0.5\n")
    assert "only tensors are loaded" in refusal(CifarResNet(8), path)


@pytest.mark.parametrize(
    "content",
    [{}, [torch.ones(2)], torch.ones(3), {"epoch": 3}, {"state_dict": {}}, {"linear.weight": "text"}],
    ids=str,
)
def test_no_state_dict_in_it(content: object, path: Path) -> None:
    torch.save(content, path)
    assert "holds no weights: only tensors" in refusal(CifarResNet(8), path)


def test_torchscript_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program/constants.pkl", b"")
    assert "is a TorchScript program" in refusal(CifarResNet(8), path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {}),
        ("squeezenet1_1", {}),
        ("googlenet", {"aux_logits": True, "init_weights": False}),
        ("inception_v3", {"aux_logits": True, "init_weights": False}),
    ],
)
def test_torchvision_files(name: str, options: dict, path: Path) -> None:
    plain = models.get_model(name, weights=None, num_classes=5, **options).eval()
    torch.save(plain.state_dict(), path)
    network = TorchvisionClassifier(name, num_classes=5, mean=(0, 0, 0), std=(1, 1, 1), weights=str(path)).eval()
    images = torch.rand(1, 3, 80, 80)
    torch.testing.assert_close(network(images), plain(images), rtol=1e-4, atol=1e-5)
    torch.save(checkpoint(network.state_dict()), path)
    load_weights(network, path)


def test_head_of_a_torchvision_file_names_the_option(path: Path) -> None:
    torch.save(models.squeezenet1_1(num_classes=5).state_dict(), path)
    assert refusal(TorchvisionClassifier("squeezenet1_1"), path).endswith("only the head differs: set num_classes=5")


def test_old_densenet_names(path: Path) -> None:
    state = models.densenet121(num_classes=2).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): state[name] for name in state}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, path)
    loaded = TorchvisionClassifier("densenet121", num_classes=2, weights=str(path)).model.state_dict()
    torch.testing.assert_close(loaded, state, rtol=0, atol=0)
