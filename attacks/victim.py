"""The model under attack: forward passes, gradients, and how many of both each image has cost."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

LAUNCH = {"cuda": 128}  # by type of device: so many small images take a pass no longer than a single one does


class Victim:
    """A model from images in [0, 1] to class scores, with a count of the passes spent on each image.

    Args:
        model: from images (N, ...) to scores (N, num_classes).
        images: the batch (N, ...); the model gets its type, while scores and gradients are at least float32.

    Attributes:
        launch: the time to launch a pass, in images that are computed meanwhile.
    """

    def __init__(self, model: Callable[[Tensor], Tensor], images: Tensor) -> None:
        self.model = model
        self.dtype = images.dtype
        self.launch = LAUNCH.get(images.device.type, 0)
        self.one = torch.ones((), dtype=torch.long, device=images.device)
        self.forward_passes = torch.zeros(len(images), dtype=torch.long, device=images.device)
        self.backward_passes = torch.zeros_like(self.forward_passes)

    @torch.no_grad()
    def look(self, points: Tensor, owners: Tensor) -> Tensor:
        """Scores (n, num_classes) of points (n, ...); each belongs to the image of the batch that owners (n,) name."""
        return self._scores(points, owners)

    def trace(self, points: Tensor, owners: Tensor) -> "Trace":
        """Scores that can be differentiated."""
        inputs = points.detach().requires_grad_()
        return Trace(self, inputs, owners, self._scores(inputs, owners))

    def _scores(self, points: Tensor, owners: Tensor) -> Tensor:
        self.forward_passes.index_add_(0, owners, self.one.expand(len(owners)))
        scores = self.model(points.to(self.dtype))
        if scores.dim() != 2 or len(scores) != len(points) or scores.shape[1] < 2:
            raise ValueError(
                f"the model returned scores of shape {tuple(scores.shape)} for {len(points)} images: an attack needs "
                f"({len(points)}, num_classes) with at least two classes"
            )
        return scores.to(points.dtype)


@dataclass
class Trace:
    """A forward pass whose scores can be differentiated with respect to the points that went in.

    Attributes:
        victim: who made it.
        inputs: (m, ...) the points.
        owners: (m,) the image in the batch that each belongs to.
        scores: (n, num_classes) of the points that are still of interest.
        kept: (n,) which of the inputs they are; None where they are all.
    """

    victim: Victim
    inputs: Tensor
    owners: Tensor
    scores: Tensor
    kept: Tensor | None = None

    def keep(self, rows: Tensor, backwards: int = 1) -> "Trace":
        """Only some points, in the cheaper way: drag the rest along, or run these once more.

        This trace is not to be used any more.

        A gradient of the input alone takes about as long as a forward pass (1.0 to 1.1 times on a ResNet-20).

        Args:
            rows: the places (m,) of these points among the n, in order.
            backwards: how many gradients will be taken.
        """
        if len(rows) == len(self.scores):
            return self
        kept = rows if self.kept is None else self.kept[rows]
        dragged = len(self.inputs) - len(kept)
        if len(kept) and backwards * dragged > len(kept) + self.victim.launch:
            self.scores = self.scores.detach()  # frees the memory of this pass before that of another is needed
            return self.victim.trace(self.inputs.detach()[kept], self.owners[kept])
        return replace(self, scores=self.scores[rows], kept=kept)

    def copies(self, count: int) -> "Trace | None":
        """So many copies of each point, (n * count, ...), where one gradient of them all is cheaper than as many here.

        That is so for small batches on a device on which launching a pass takes longer than computing it.
        """
        size, launch = len(self.scores), self.victim.launch
        if 2 * (size * count + launch) >= count * (size + launch):
            return None
        rows = slice(None) if self.kept is None else self.kept
        points, owners = self.inputs.detach()[rows], self.owners[rows]
        return self.victim.trace(points.repeat_interleave(count, 0), owners.repeat_interleave(count))

    def gradient(self, values: Tensor, again: bool = False) -> Tensor:
        """The gradient (n, ...) of each point's own value (n,), zero where it is not finite.

        Args:
            values: computed from ``scores``.
            again: whether another gradient of this pass will follow.
        """
        self.victim.backward_passes.index_add_(0, self.owners, self.victim.one.expand(len(self.owners)))
        gradient = None
        if values.requires_grad:
            (gradient,) = torch.autograd.grad(values.sum(), self.inputs, retain_graph=again, allow_unused=True)
        if gradient is None:
            raise ValueError(
                "the model's scores have no gradient with respect to the images: it must not detach them or run under "
                "no_grad, and a step without a gradient needs a backward rule of its own"
            )
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        return gradient if self.kept is None else gradient[self.kept]
