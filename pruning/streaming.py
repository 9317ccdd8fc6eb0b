"""One pass over held-out images that feeds any number of rankings, the same however the images are split."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor, nn

from pruning.forward_pass import ForwardPass, Step, Value, aligned, record
from pruning.ownership import Convolution, Ownership
from pruning.ranking import Evidence, Importance, Ranking, unit_length
from pruning.sites import Site
from pruning.undisturbed import undisturbed


class Observation:
    """A batch on its way through the network, with gradients; what nobody asks for is not computed.

    Losses are sums over images, so that sums over batches don't depend on how the images are split.

    Args:
        forward_pass: of the network, for images of this shape.
        convolutions: of the sites that are looked at.
        weights: of these convolutions, (J, channels, height, width) each.
        images: (N, C, H, W).
        labels: (N,).
        criterion: from the network's outputs and labels to the mean loss of the images.
    """

    def __init__(
        self,
        forward_pass: ForwardPass,
        convolutions: Sequence[Convolution],
        weights: Sequence[Tensor],
        images: Tensor,
        labels: Tensor,
        criterion: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        self.count = len(images)
        self.weights = list(weights)
        self._steps = forward_pass.steps
        self._convolutions = convolutions
        self._values = forward_pass.run(images.clone().requires_grad_())  # so that frozen networks have gradients, too
        self._loss = criterion(self._values[forward_pass.outputs[0]], labels) * self.count

    @cached_property
    def maps(self) -> list[Tensor]:
        """By which each convolution's filters are judged, (N, J, h, w): behind the ReLU, where they have their own."""
        return [self._values[found.maps][:, found.channels].detach() for found in self._convolutions]

    @cached_property
    def map_gradients(self) -> list[Tensor]:
        """Of each image's loss with respect to ``maps``, (N, J, h, w)."""
        gradients = self._gradients([found.maps for found in self._convolutions])
        return [gradient[:, found.channels] for gradient, found in zip(gradients, self._convolutions)]

    @cached_property
    def filter_gradient_norms(self) -> list[Tensor]:
        """Norm of the gradient of each image's loss with respect to each filter, (N, J)."""
        uses = [[self._steps[index] for index in found.steps] for found in self._convolutions]
        gradients = iter(self._gradients([step.results[0] for steps in uses for step in steps]))
        return [self._norms([(step, next(gradients)) for step in steps]) for steps in uses]

    def curvature(self, directions: Sequence[Tensor]) -> list[Tensor]:
        """Rows of the loss's Hessian with respect to all weights, times a direction that is given weight by weight."""
        products = torch.autograd.grad(
            self._weight_gradients, self.weights, list(directions), retain_graph=True, materialize_grads=True
        )
        return list(products)

    @cached_property
    def _weight_gradients(self) -> tuple[Tensor, ...]:
        return torch.autograd.grad(self._loss, self.weights, create_graph=True)

    def _gradients(self, values: Sequence[int]) -> tuple[Tensor, ...]:
        held = [self._values[value] for value in values]
        return torch.autograd.grad(self._loss, held, retain_graph=True, materialize_grads=True)

    def _norms(self, uses: Sequence[tuple[Step, Tensor]]) -> Tensor:
        """Norms of a weight's gradients by image; as many images at a time as fit into some megabytes."""
        at_once = max(1, 2**22 // uses[0][0].argument(1, "weight").numel())
        parts = [slice(start, start + at_once) for start in range(0, self.count, at_once)]
        sums = (torch.stack([self._by_image(step, made, part) for step, made in uses]).sum(0) for part in parts)
        return torch.cat([gradients.flatten(2).norm(dim=2) for gradients in sums])

    def _by_image(self, step: Step, made: Tensor, part: slice) -> Tensor:
        """Gradients of single images with respect to a convolution's weight, (n, J, channels, height, width)."""
        kept, inputs = step.argument(1, "weight"), self._values[step.sources[0]].detach()

        def gradient(image: Tensor, made: Tensor) -> Tensor:
            def convolve(weight: Tensor) -> Tensor:
                swaps = {id(kept): weight}
                return step.run(lambda leaf: image[None] if isinstance(leaf, Value) else swaps.get(id(leaf), leaf))[0]

            pulled: Tensor = torch.func.vjp(convolve, kept.detach())[1](made[None])[0]
            return pulled

        gradients: Tensor = torch.vmap(gradient)(inputs[part], made[part])
        return gradients


class Streamed(Ranking):
    """A ranking whose importance is a mean over images.

    Args:
        layer_norm: divide each layer's importances by their L2 norm.
    """

    needs_images = True

    def __init__(self, layer_norm: bool = True) -> None:
        self.layer_norm = layer_norm

    @abstractmethod
    def score(self, observation: Observation) -> list[Tensor]:
        """Sums over the images of a batch, for every convolution (J,)."""

    def importance(self, network: nn.Module, sites: Sequence[Site], evidence: Evidence | None = None) -> Importance:
        return stream(network, sites, [self], evidence or Evidence())[0]


def stream(
    network: nn.Module, sites: Sequence[Site], rankings: Sequence[Streamed], evidence: Evidence
) -> list[Importance]:
    """The importances by several rankings, from one pass; each rank goes through its own images, and sums add up."""
    sizes = [site.filters for _ in rankings for site in sites]
    sums = [torch.zeros(sum(sizes) + 1, dtype=torch.float64)]  # the last one counts images

    def look(observation: Observation) -> None:
        scores = [score for ranking in rankings for score in ranking.score(observation)]
        counted = torch.tensor([observation.count], dtype=torch.float64)
        sums[0] = sums[0] + torch.cat([*(score.detach().to("cpu", torch.float64) for score in scores), counted])

    watch(network, sites, look, evidence)
    totals = evidence.reduce(sums[0])
    if not totals[-1]:
        raise ValueError("the ranking needs images: give its evidence batches of held-out images and labels")
    means = iter((totals[:-1] / totals[-1]).split(sizes))
    found = [{site.name: next(means) for site in sites} for _ in rankings]
    return [unit_length(one) if ranking.layer_norm else one for one, ranking in zip(found, rankings)]


def watch(network: nn.Module, sites: Sequence[Site], look: Callable[[Observation], None], evidence: Evidence) -> None:
    """Look at each of a rank's batches; neither weights, BatchNorm, ``.grad`` nor random states change."""
    weights = [network.get_parameter(site.weight) for site in sites]
    passes: dict[torch.Size, ForwardPass] = {}
    convolutions: list[Convolution] = []
    with undisturbed(network) as device, torch.enable_grad(), _learning(weights):
        for images, labels, *_ in evidence.batches:
            images, labels = images.to(device), labels.to(device)
            if images.shape not in passes:
                passes[images.shape] = record(network, images)
                convolutions = _convolutions(network, sites, images, passes[images.shape])
            forward_pass = passes[images.shape]
            look(Observation(forward_pass, convolutions, weights, images, labels, evidence.criterion))


def _convolutions(
    network: nn.Module, sites: Sequence[Site], images: Tensor, forward_pass: ForwardPass
) -> list[Convolution]:
    ownership = Ownership(network, record(network, images[:1]))
    if not aligned(ownership.forward_pass, forward_pass):
        raise ValueError(
            f"{type(network).__name__} does something else with {len(images)} images than with one, so the maps of its "
            "filters can't be told apart: choose a ranking by weights"
        )
    return [ownership.convolutions[site.name] for site in sites]


@contextmanager
def _learning(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Weights have gradients, also where they are frozen."""
    flags = [weight.requires_grad for weight in weights]
    try:
        for weight in weights:
            weight.requires_grad_()
        yield
    finally:
        for weight, flag in zip(weights, flags):
            weight.requires_grad_(flag)
