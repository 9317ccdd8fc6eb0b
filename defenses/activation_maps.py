"""Where a network looks: class activation maps, and the robust map over its top classes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modes import evaluating
from options import check_at_least, check_whole


class ActivationMap(ABC):
    """A map (N, H, W) in [0, 1] of each image, made by the network that is defended from the image it is given.

    No gradient flows through a map. The weight of a feature map is the gradient of the class score, summed over its
    places: after global average pooling exactly the weight in the linear head (CAM, Zhou et al. 2016, arXiv
    1512.04150), under any other head the gradient-weighted map (Grad-CAM, Selvaraju et al. 2017, arXiv 1610.02391) up
    to a constant, which a map in [0, 1] does not have.
    """

    _network: Any = None
    _glance: tuple[Tensor, Tensor] | None = None  # images and their map, while several runs look at them
    _several = False

    def attach(self, network: nn.Module) -> None:
        """Look through this network, which has ``features(images)`` and ``head(features)``."""
        if not callable(getattr(network, "features", None)) or not callable(getattr(network, "head", None)):
            raise ValueError(
                f"{type(self).__name__} needs feature maps, but {type(network).__name__} has no features(images) and "
                "head(features): take one that has both, or a defence without an activation map"
            )
        self._network = network

    def __call__(self, images: Tensor) -> Tensor:
        if self._network is None:
            raise ValueError(
                f"{type(self).__name__} has no network to look through: call attach(network) of the defence, or wrap "
                "both in Defended"
            )
        if self._glance is not None and same_memory(self._glance[0], images):
            return self._glance[1]
        maps = self._map(images)
        self._glance = (images, maps) if self._several else None
        return maps

    @contextmanager
    def looking_once(self) -> Iterator[None]:
        """Within, images that stay as they are get one map, which several runs of a defence share."""
        before = self._several
        self._several = True
        try:
            yield
        finally:
            self._several, self._glance = before, self._glance if before else None

    def _map(self, images: Tensor) -> Tensor:
        with torch.inference_mode(False), evaluating(self._network):
            pixels = images.clone() if images.is_inference() else images.detach()
            dtype = next((weights.dtype for weights in self._network.parameters()), pixels.dtype)
            with torch.no_grad():
                features = self._network.features(pixels.to(dtype))
            maps = self.look(self._network, features.detach()).float()
        enlarged = F.interpolate(maps.unsqueeze(1), images.shape[2:], mode="bilinear", align_corners=False)
        return self.scale(enlarged.squeeze(1))

    def __repr__(self) -> str:
        shown = {name: value for name, value in vars(self).items() if name[0] != "_"}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"

    @abstractmethod
    def look(self, network: nn.Module, features: Tensor) -> Tensor:
        """The map (N, h, w) of any range, from features (N, K, h, w)."""

    def scale(self, maps: Tensor) -> Tensor:
        """The enlarged map (N, H, W) in [0, 1]."""
        return positive(maps)


class ClassActivationMap(ActivationMap):
    """Where the evidence for the predicted class is."""

    def look(self, network: nn.Module, features: Tensor) -> Tensor:
        return class_maps(network, features, 1)[0]


class RobustActivationMap(ActivationMap):
    """Where the evidence for any of the top classes is, each class counting half as much as the one before.

    Prakash 2019, equation 4.5: an attack changes the first class, but rarely the first five. One forward pass, and one
    backward pass of the head alone.

    Args:
        classes: the k of the equation; all classes where a network has fewer.
    """

    def __init__(self, classes: int = 5) -> None:
        check_whole(self, classes=classes)
        check_at_least(self, 1, classes=classes)
        self.classes = classes

    def look(self, network: nn.Module, features: Tensor) -> Tensor:
        with torch.enable_grad():
            features.requires_grad_()
            best = top_scores(network, features, self.classes)
            halves = 0.5 ** torch.arange(1, best.shape[1] + 1, device=best.device, dtype=best.dtype)
            return weighted(features, (best * halves).sum(), again=False)


class AuthorsActivationMap(RobustActivationMap):
    """The robust map as the authors' program makes it: every class's map is stretched to [0, 1] before they are mixed.

    It begins with 1.2 times the map of the last class and takes the mean with the next better one, up to the best; the
    result is stretched once more, so some pixel is always at 0.
    """

    def look(self, network: nn.Module, features: Tensor) -> Tensor:
        *better, last = map(stretched, class_maps(network, features, self.classes))
        mixed = 1.2 * last
        for each in reversed(better):
            mixed = (mixed + each) / 2
        return mixed

    def scale(self, maps: Tensor) -> Tensor:
        return stretched(maps)


def same_memory(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are views of the same numbers."""
    return one.data_ptr() == other.data_ptr() and (one.shape, one.stride(), one.dtype) == (
        other.shape,
        other.stride(),
        other.dtype,
    )


def top_scores(network: nn.Module, features: Tensor, classes: int) -> Tensor:
    """The largest scores (N, k) of features, falling."""
    scores: Tensor = network.head(features)  # type: ignore[operator]
    return scores.float().topk(min(classes, scores.shape[1]), dim=1).values


def class_maps(network: nn.Module, features: Tensor, classes: int) -> list[Tensor]:
    """The map (N, h, w) of each of the top classes, from features (N, K, h, w)."""
    with torch.enable_grad():
        features.requires_grad_()
        best = top_scores(network, features, classes).sum(0)
        return [weighted(features, score, again=True) for score in best]


def weighted(features: Tensor, score: Tensor, again: bool) -> Tensor:
    """Features (N, K, h, w) summed with the weights that a score gives them, (N, h, w).

    Args:
        features: which the score was computed from.
        score: summed over the images.
        again: whether another gradient of the same pass follows.
    """
    (gradient,) = torch.autograd.grad(score, features, retain_graph=again)
    weights = gradient.sum((2, 3))
    return torch.einsum("nk,nkhw->nhw", weights, features.detach())


def positive(maps: Tensor) -> Tensor:
    """Maps (N, H, W) without their negative part, divided by their maximum; zero where nothing is positive."""
    maps = maps.clamp(min=0)
    largest = maps.amax((1, 2), keepdim=True)
    return torch.where(largest > 0, maps / torch.where(largest > 0, largest, 1), 0)


def stretched(maps: Tensor) -> Tensor:
    """Maps (N, H, W), each from its minimum to its maximum; zero where it is flat."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return torch.where(high > low, (maps - low) / torch.where(high > low, high - low, 1), 0)
