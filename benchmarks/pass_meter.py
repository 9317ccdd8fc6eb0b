"""The passes through a network that somebody else makes: which they were, and what they take alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Pass:
    """One call of a network or one gradient.

    Attributes:
        kind: ``look`` is a forward pass without a graph, ``trace`` one that can be differentiated, ``back`` a gradient.
        images: how many went through together.
    """

    kind: Literal["look", "trace", "back"]
    images: int


class PassMeter(nn.Module):
    """A network that writes down each pass; it stands in for the network itself.

    Args:
        network: from images (N, C, H, W) to scores (N, num_classes).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.passes: list[Pass] = []

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.network(images)
        traced = scores.requires_grad
        self.passes.append(Pass("trace" if traced else "look", len(images)))
        if traced:
            scores.register_hook(lambda gradient: self.passes.append(Pass("back", len(gradient))))
        return scores


def images_through(passes: Sequence[Pass]) -> tuple[int, int]:
    """Images that went forwards, and backwards."""
    backward = sum(one.images for one in passes if one.kind == "back")
    return sum(one.images for one in passes) - backward, backward


class Replay:
    """Makes the same passes once more and nothing else: gradients are those of the input alone.

    Args:
        network: in eval mode.
        passes: in the order in which they were made.
        images: (N, C, H, W) of the right size, repeated where more are needed.
    """

    def __init__(self, network: nn.Module, passes: Sequence[Pass], images: Tensor) -> None:
        self.network, self.passes = network, passes
        most = max(one.images for one in passes)
        self.images = images.repeat(-(-most // len(images)), 1, 1, 1)

    def run(self) -> None:
        """All of them; parameters need no gradient meanwhile."""
        flags = [parameter.requires_grad for parameter in self.network.parameters()]
        self.network.requires_grad_(False)
        inputs, scores = self.images[:0], self.images[:0]
        for one, following in zip(self.passes, [*self.passes[1:], None]):
            if one.kind == "look":
                with torch.no_grad():
                    self.network(self.images[: one.images])
            elif one.kind == "trace":
                inputs = self.images[: one.images].detach().requires_grad_()
                scores = self.network(inputs)
            else:
                again = following is not None and following.kind == "back"
                torch.autograd.grad(scores, inputs, torch.ones_like(scores), retain_graph=again)
        for parameter, flag in zip(self.network.parameters(), flags):
            parameter.requires_grad_(flag)
