"""Universal perturbations on the images of a test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from attacks.perturbation_files import check_shape
from metrics import TransferMatrix


@dataclass(frozen=True)
class Samples:
    """The first test images.

    Attributes:
        images: (n, C, H, W) in [0, 1].
        before: predictions (n,) of the network that is tested.
        after: its predictions (perturbations, n) under each perturbation, cut to [0, 1].
    """

    images: Tensor
    before: Tensor
    after: Tensor


class Measuring:
    """Fooling rates, batch after batch: of x + v as it is, of x + v cut to [0, 1], and of interpolations.

    Args:
        vectors: perturbations (C, H, W) by name, on the device.
        grid: interpolations, of which only x + v as it is counts.
        networks: the one that is tested first.
        samples: how many images are kept for pictures.
        device: where the counts are.
    """

    def __init__(
        self,
        vectors: Mapping[str, Tensor],
        grid: Sequence[Tensor],
        networks: Sequence[nn.Module],
        samples: int,
        device: torch.device,
    ) -> None:
        self.vectors, self.grid, self.networks, self.samples = dict(vectors), list(grid), list(networks), samples
        self.rows = (len(vectors), len(vectors), len(grid))
        # Outside inference mode, or the counts could not be changed wherever they are next.
        with torch.inference_mode(mode=False):
            self.counts = [TransferMatrix(count, len(networks)).to(device) for count in self.rows]
        self.shown: Samples | None = None
        self.images = 0  # on all ranks, once the rates are there

    def update(self, images: Tensor) -> None:
        """Add a batch (N, C, H, W), in whose precision the perturbed images are, too."""
        for name, vector in self.vectors.items():
            check_shape(vector, images.shape[1:], Path(name))
        before, vectors = self._predict(images), self.vectors.values()
        plain, mixed = ([self._predict((images + v).to(images)) for v in each] for each in (vectors, self.grid))
        clipped = [self._predict((images + v).clamp(0, 1).to(images)) for v in vectors]
        for counts, found in zip(self.counts, (plain, clipped, mixed), strict=True):
            if found:
                counts.update(before, torch.stack(found))
        if self.shown is None:
            first = slice(self.samples)
            taken = torch.stack([found[0, first] for found in clipped])
            self.shown = Samples(images[first].cpu().clone(), before[0, first].cpu(), taken.cpu())

    def rates(self) -> list[Tensor]:
        """(perturbations, networks), the same cut to [0, 1], (interpolations, networks); over all images and ranks."""
        found = []
        for counts, rows in zip(self.counts, self.rows, strict=True):
            if rows:
                sums = counts.compute()
                self.images = int(sums["images"])
                found.append(sums["rates"].cpu().view(rows, -1))  # torchmetrics makes a number of a single rate
            else:
                found.append(torch.zeros(0, len(self.networks), dtype=torch.float64))
        return found

    def _predict(self, images: Tensor) -> Tensor:
        """Of each network for each image, (networks, N)."""
        return torch.stack([network(images).argmax(1) for network in self.networks])
