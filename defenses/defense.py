"""What a defence is (contract 6 of the design)."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from defenses.checks import check_images, check_pixels
from draws import GOLDEN, Streams, keys_of, mix, signed, weighted_sum
from modes import full_products

Gradient = Literal["exact", "identity", "surrogate"]


class Defense(nn.Module, ABC):
    """Changes images back before a network sees them: ``forward(images, run=0)`` returns images.

    Images are (N, C, H, W), floating-point in [0, 1], and keep shape, dtype and device; half precision is computed in
    float32, with full products whatever torch allows elsewhere. No image depends on its neighbours in the batch. The
    pixels of the first batch are checked.

    Attributes:
        random: whether chance decides; then each ``run`` is another one.
        gradient: what the backward pass is. ``exact`` is the defence's own derivative; ``identity`` lets the gradient
            pass as if nothing had been changed (BPDA, Athalye et al. 2018, arXiv 1802.00420, section 4.1.1), which is
            what an attack uses where there is no derivative; ``surrogate``, that of something similar which has one.
            Each is built in: an attack never asks.
        generator: of the CPU, for new draws in every call, the same however images are split into batches. Without it
            draws follow from the seed of ``seed_everything``, the image's own pixels and the run alone; no global
            random state changes either way.
    """

    random: bool = False
    gradient: Gradient = "exact"
    generator: Generator | None = None
    _checked = False
    _keys: Tensor | None = None  # of the images that several runs or parts look at
    _looked: tuple[Tensor, Tensor] | None = None  # these images, and the same in float32

    def forward(self, images: Tensor, run: int = 0) -> Tensor:
        check_images(self, images)
        if not len(images):
            return images
        if not self._checked:  # a later batch would make a device wait, and an attack may leave [0, 1] on its way
            check_pixels(self, images)
            self._checked = True
        exact = self._exact(images)
        with full_products(images.device):
            if self.gradient == "exact":
                restored = self.restore(exact, run)
            else:
                restored = self._restored_straight_through(exact, run)
        return restored.to(images.dtype)

    @abstractmethod
    def restore(self, images: Tensor, run: int) -> Tensor:
        """The defended images (N, C, H, W) in [0, 1]; the images are float32 or float64."""

    def stand_in(self, images: Tensor, run: int) -> Tensor:
        """What is differentiated (N, C, H, W) where ``gradient`` is not ``exact``: the images as they are."""
        return images

    def attach(self, network: nn.Module) -> None:
        """Show the defended network to the parts that look at it, such as activation maps; it is not registered."""

    @contextmanager
    def looking_once(self, images: Tensor, keys: Tensor | None = None) -> Iterator[None]:
        """Within, several runs on the same images share what does not depend on the run, such as an activation map.

        Args:
            images: (N, C, H, W).
            keys: of the images (N,), which a generator has drawn; by default the defence's own draws them.
        """
        before = self._keys, self._looked
        self._keys = self.drawn(images) if keys is None else keys
        self._looked = (images, self._exact(images))
        try:
            yield
        finally:
            self._keys, self._looked = before

    def _restored_straight_through(self, images: Tensor, run: int) -> Tensor:
        """As ``restore``, with the gradient of what stands in for it, by the same draws."""
        with self.looking_once(images):
            with torch.no_grad():
                restored = self.restore(images.detach(), run)
            if images.requires_grad and torch.is_grad_enabled():
                restored = straight_through(self.stand_in(images, run), restored)
        return restored

    def _exact(self, images: Tensor) -> Tensor:
        """Images in float32, the very same ones in all runs that share them."""
        if self._looked is not None and self._looked[0] is images:
            return self._looked[1]
        return images.to(torch.promote_types(images.dtype, torch.float32))

    def drawn(self, images: Tensor) -> Tensor | None:
        """The keys (N,) that several runs share; without a generator they follow from the images."""
        if self._keys is not None or self.generator is None or not self.random:
            return self._keys
        return keys_of(images, self.generator)

    def streams(self, images: Tensor, run: int) -> Streams:
        """The random numbers of each image in a run."""
        keys = keys_of(images, self.generator, weighted_sum) if self._keys is None else self._keys
        return Streams(mix(keys + signed(GOLDEN * (run + 1))))

    def __repr__(self) -> str:
        hidden = {"training", "generator", "random", "gradient"}
        shown = {name: value for name, value in vars(self).items() if name[0] != "_" and name not in hidden}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"


def straight_through(images: Tensor, restored: Tensor) -> Tensor:
    """The gradient of one and the value of the other."""
    return restored.detach() + (images - images.detach())  # the bracket is exactly zero


class Identity(Defense):
    """Leave images as they are: the row of a table without a defence."""

    def restore(self, images: Tensor, run: int) -> Tensor:
        return images
