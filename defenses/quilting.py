"""Build images anew from patches of clean ones."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from defenses.checks import TOLERANCE
from defenses.defense import Defense, Gradient
from defenses.patch_bank import blend, cut, join, nearest
from options import check_at_least, check_whole

REMEDY = "make them with python -m defenses.patches"
BLENDED = 16  # patches that the backward pass weighs; fewer tell an attacker less, more take longer


class Quilting(Defense):
    """Replace every patch of an image by one of its nearest among clean patches (backward pass: of a mean of several).

    Guo et al. 2018, "Countering Adversarial Images Using Input Transformations", arXiv 1711.00117, section 3.3. Where
    patches overlap they are averaged; the paper cuts them along a seam. Which patch is the nearest has no derivative:
    the backward pass is that of the mean of the 16 nearest, weighted by how near they are (``patch_bank.blend``).

    Args:
        bank: patches (M, C, size, size) of ``patch_bank``, or a file of them that ``python -m defenses.patches`` wrote.
        overlap: of neighbouring patches in pixels.
        neighbors: one of so many nearest patches is taken, by chance.
        cells: so many inverted lists of FAISS, for a bank that is too large to be searched exactly; None searches
            exactly, with tensors.
        probes: of these lists, so many are searched.
    """

    gradient: Gradient = "surrogate"

    def __init__(
        self,
        bank: str | Tensor,
        overlap: int = 2,
        neighbors: int = 1,
        cells: int | None = None,
        probes: int = 16,
    ) -> None:
        super().__init__()
        patches = read(bank) if isinstance(bank, str) else bank
        check_patches(patches)
        self.size = patches.shape[2]
        check_whole(self, overlap=overlap, neighbors=neighbors, cells=cells, probes=probes)
        check_at_least(self, 0, overlap=overlap)
        if overlap >= self.size:
            raise ValueError(f"Quilting: overlap={overlap} must be below the patches' size, {self.size}")
        check_at_least(self, 1, neighbors=neighbors, cells=cells, probes=probes)
        if max(neighbors, cells or 0) > len(patches):
            raise ValueError(
                f"Quilting: neighbors={neighbors} and cells={cells} must not exceed the bank's {len(patches)} patches"
            )
        if cells and find_spec("faiss") is None:
            raise ValueError(
                f"Quilting: cells={cells} needs FAISS, which is not installed: pip install faiss-cpu, or leave it out "
                "to search exactly"
            )
        self.overlap, self.neighbors, self.cells, self.probes = overlap, neighbors, cells, probes
        self.random = neighbors > 1
        self.bank: Tensor
        self.register_buffer("bank", patches.float(), persistent=False)
        self._lists: Any = None

    def restore(self, images: Tensor, run: int) -> Tensor:
        patches, bank, extent = self._cut(images)
        rows = torch.stack([self._nearest(each, bank, self.neighbors) for each in patches])
        chosen = rows[..., 0]
        if self.random:
            pick = self.streams(images, run).integers(0, self.neighbors, patches.shape[1])
            chosen = rows.gather(2, pick.unsqueeze(2)).squeeze(2)
        return self._join(bank[chosen], extent, images)

    def stand_in(self, images: Tensor, run: int) -> Tensor:
        """The same with means of near patches, which move with the image."""
        patches, bank, extent = self._cut(images)
        count = min(BLENDED, len(bank))
        near = (bank[self._nearest(each.detach(), bank, count)] for each in patches)
        return self._join(torch.stack([blend(*pair) for pair in zip(patches, near)]), extent, images)

    def _cut(self, images: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Patches (N, L, d) of images, those of the bank (M, d), and the size of the image that the former cover."""
        if images.shape[1] != self.bank.shape[1]:
            raise ValueError(
                f"images have {images.shape[1]} channels, but Quilting's patches have {self.bank.shape[1]}: make a "
                "bank of such images"
            )
        patches, extent = cut(images, self.size, self.size - self.overlap)
        return patches, self.bank.to(images).flatten(1), extent

    def _join(self, patches: Tensor, extent: tuple[int, int], images: Tensor) -> Tensor:
        """The images of new patches (N, L, d)."""
        quilted = join(patches, self.size, self.size - self.overlap, extent)
        return quilted[..., : images.shape[2], : images.shape[3]].clamp(0, 1)

    def _nearest(self, patches: Tensor, bank: Tensor, count: int) -> Tensor:
        """Rows of the bank (L, count) for patches (L, d); image by image, so that none minds its neighbours."""
        if self.cells is None:
            return nearest(patches, bank, count)
        if self._lists is None:
            self._lists = _lists(bank, self.cells, self.probes)
        queries = patches.float().cpu()
        rows = torch.from_numpy(self._lists.search(queries.numpy(), count)[1])
        rows = torch.where(rows < 0, rows[:, :1], rows)  # -1 where the lists held too few: again the nearest
        lost = rows[:, 0] < 0  # where they held nothing
        if lost.any():
            rows[lost] = nearest(queries[lost], bank.float().cpu(), 1)
        return rows.to(patches.device)


def read(file: str) -> Tensor:
    """The patches of a file."""
    if not Path(file).is_file():
        raise FileNotFoundError(f"Quilting: there is no bank={file}: write one with python -m defenses.patches {file}")
    patches = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(patches, Tensor):
        raise ValueError(f"Quilting: bank={file} holds a {type(patches).__name__}, not patches: {REMEDY}")
    return patches


def check_patches(patches: Tensor) -> None:
    """At least one square patch of pixels in [0, 1]."""
    if patches.dim() != 4 or not len(patches) or patches.shape[2] != patches.shape[3]:
        raise ValueError(
            f"Quilting: bank holds patches of shape {tuple(patches.shape)}, but at least one of (M, C, size, size) "
            f"is needed: {REMEDY}"
        )
    low, high = patches.min().item(), patches.max().item()
    if not patches.is_floating_point() or not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        raise ValueError(
            f"Quilting: bank holds {patches.dtype} from {low:.4g} to {high:.4g}, but floating-point pixels in [0, 1] "
            f"are needed: {REMEDY}"
        )


def _lists(bank: Tensor, cells: int, probes: int) -> Any:
    """FAISS's inverted lists of a bank (M, d)."""
    faiss = import_module("faiss")
    rows = bank.float().cpu().numpy()
    lists = faiss.IndexIVFFlat(faiss.IndexFlatL2(rows.shape[1]), rows.shape[1], cells)
    lists.cp.min_points_per_centroid = 1
    lists.train(rows)
    lists.add(rows)
    lists.nprobe = probes
    return lists
