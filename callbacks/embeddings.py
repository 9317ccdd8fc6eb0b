"""What callbacks share that look at the outputs of a Classifier's network."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from lightning import LightningModule
from torch import Tensor, nn

from criteria import Readout


class WithEmbeddings(Protocol):
    """The part of the Classifier that they rely on."""

    criterion: nn.Module
    readout: nn.Module

    def training_outputs(self, images: int = 0) -> tuple[Tensor, Tensor]:
        """Outputs and labels of un-augmented training images."""
        ...


def with_embeddings(pl_module: LightningModule, who: object) -> WithEmbeddings:
    """The model by the names that a Classifier has; others are refused."""
    if not hasattr(pl_module, "training_outputs"):
        name = type(who).__name__
        raise ValueError(
            f"{name} looks at the outputs of a Classifier's network, but the model is a {type(pl_module).__name__}: "
            f"take a Classifier or leave {name} out"
        )
    return cast(WithEmbeddings, pl_module)


def outputs_of_step(outputs: Any, who: object) -> Tensor:
    """The network's outputs (N, d), which a Classifier's validation and test steps return."""
    if not isinstance(outputs, Mapping) or "outputs" not in outputs:
        raise ValueError(f"{type(who).__name__} needs steps that return the network's outputs, as a Classifier's do")
    found: Tensor = outputs["outputs"]
    return found


def embed(pl_module: LightningModule, outputs: Tensor) -> Tensor:
    """Embeddings (N, d) as the readout sees them; of a network that scores classes, the outputs as they are."""
    readout = getattr(pl_module, "readout", None)
    return readout.embed(outputs) if isinstance(readout, Readout) else outputs.float()
