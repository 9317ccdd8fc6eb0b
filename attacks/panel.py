"""Networks that one perturbation is meant for, and whom it fools."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from attacks.attack import Model, exact
from attacks.attackable import attackable
from attacks.boxes import Box, NoBox
from attacks.checks import check_images, check_pixels
from attacks.victim import Victim


class Panel:
    """Networks with their own predictions of clean images, which are computed once.

    Args:
        networks: from images in [0, 1] to class scores (N, num_classes), all for images of one size.
        images: (N, C, H, W) in [0, 1].
        box: ``NoBox`` tests x + v as it is, ``ClipBox`` cuts it to [0, 1] first.
        batch_size: images per forward pass.
    """

    def __init__(self, networks: Sequence[Model], images: Tensor, box: Box, batch_size: int) -> None:
        self.networks, self.images, self.box, self.batch_size = networks, exact(images), box, batch_size
        self.victims = [Victim(network, images) for network in networks]
        self.clean = [self._clean(place) for place in range(len(networks))]  # of (N,) each

    def perturbed(self, index: Tensor, perturbation: Tensor) -> Tensor:
        """The images of this index (n,) under a perturbation (C, H, W)."""
        return self.box.place(self.images[index] + perturbation)

    def fooled(self, network: int, index: Tensor, perturbation: Tensor) -> Tensor:
        """Which images (n,) of this index get another prediction from a network than without the perturbation."""
        parts = [
            self.victims[network].look(self.perturbed(part, perturbation), part).argmax(1)
            for part in index.split(self.batch_size)
        ]
        return torch.cat(parts) != self.clean[network][index]

    def rates(self, perturbation: Tensor) -> Tensor:
        """The fooling rate of each network over all images, (networks,)."""
        everyone = torch.arange(len(self.images), device=self.images.device)
        fooled = [self.fooled(network, everyone, perturbation) for network in range(len(self.networks))]
        return torch.stack(fooled).double().mean(1)

    def _clean(self, network: int) -> Tensor:
        owners = torch.arange(len(self.images), device=self.images.device)
        victim = copy.copy(self.victims[network])  # which shares the counts of passes
        victim.model = sized(victim.model, f"networks[{network}]")
        return torch.cat([victim.look(self.images[part], part).argmax(1) for part in owners.split(self.batch_size)])


def sized(network: Model, name: str) -> Model:
    """The same network, which refuses images of another size than its own in words, however it finds out.

    Errors of a network in another precision or on another device than the images come through as they are.

    Args:
        network: may declare its ``image_size``, height and width, even if it would take other images.
        name: of the network, in the words.
    """
    size = getattr(network, "image_size", None)

    def scores(images: Tensor) -> Tensor:
        if isinstance(size, int) and images.shape[-2:] != (size, size):
            raise misfit(name, images, f"its image_size is {size}")
        try:
            return network(images)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, AssertionError) as error:
            if strange(network, images):
                raise
            raise misfit(name, images, error) from error

    return scores


def strange(network: Model, images: Tensor) -> bool:
    """Whether a network has weights of another type than its images, or elsewhere: its error may well be about that."""
    weights = network.parameters() if isinstance(network, nn.Module) else ()
    return any(
        weight.device != images.device or (weight.is_floating_point() and weight.dtype != images.dtype)
        for weight in weights
    )


def misfit(name: str, images: Tensor, reason: object) -> ValueError:
    """What is said of a network that does not take these images (N, C, H, W)."""
    return ValueError(
        f"{name} does not take images of shape {tuple(images.shape[1:])}: one perturbation needs networks of one input "
        f"size, so put a resize before this one ({reason})"
    )


@contextmanager
def panel(networks: Sequence[Model], images: Tensor, box: Box | None = None, batch_size: int = 64) -> Iterator[Panel]:
    """All networks ready to be attacked, and as they were afterwards."""
    check_images(images)
    check_pixels(images)
    if not len(images) or not len(networks):
        raise ValueError(f"{len(images)} images and {len(networks)} networks: give at least one of each")
    with ExitStack() as stack:
        for network in networks:
            (images,) = stack.enter_context(attackable(network, images))
        yield Panel(networks, images, box or NoBox(), batch_size)


def fooling_rates(
    networks: Sequence[Model], images: Tensor, perturbation: Tensor, box: Box | None = None, batch_size: int = 64
) -> Tensor:
    """The share of images whose prediction a perturbation changes, for every network (networks,); no label counts.

    Args:
        networks: from images in [0, 1] to class scores (N, num_classes).
        images: (N, C, H, W) in [0, 1].
        perturbation: (C, H, W) in pixels scaled to [0, 1].
        box: ``NoBox`` (default) for x + v as in the published code, ``ClipBox`` for pictures that can be shown.
        batch_size: images per forward pass.
    """
    return fooling_rates_of_each(networks, images, [perturbation], box, batch_size)[0]


def fooling_rates_of_each(
    networks: Sequence[Model],
    images: Tensor,
    perturbations: Sequence[Tensor],
    box: Box | None = None,
    batch_size: int = 64,
) -> Tensor:
    """The rates of several perturbations (len(perturbations), networks), for which the clean images are seen once.

    Args:
        networks: from images in [0, 1] to class scores (N, num_classes).
        images: (N, C, H, W) in [0, 1].
        perturbations: (C, H, W) each, in pixels scaled to [0, 1].
        box: as in ``fooling_rates``.
        batch_size: images per forward pass.
    """
    for each in perturbations:
        if each.shape != images.shape[1:]:
            raise ValueError(
                f"the perturbation has shape {tuple(each.shape)}, the images {tuple(images.shape[1:])}: resize one"
            )
    with panel(networks, images, box, batch_size) as jury:
        return torch.stack([jury.rates(each.to(jury.images)) for each in perturbations])
