"""Rankings by what filters do to held-out images; all can share one pass, see ``pruning.stream``."""

import torch
from torch import Tensor

from pruning.streaming import Observation, Streamed


class Activations(Streamed):
    """The mean absolute value of a filter's map behind the ReLU, over images and positions."""

    def score(self, observation: Observation) -> list[Tensor]:
        return [_total(_by_image(maps.abs())) for maps in observation.maps]


class APoZ(Streamed):
    """The share of positions where a filter's map is not zero behind the ReLU, in [0, 1].

    One minus the "average percentage of zeros" of Hu et al. 2016, "Network Trimming", arXiv 1607.03250.

    Args:
        layer_norm: divide each layer's importances by their L2 norm.
    """

    def __init__(self, layer_norm: bool = False) -> None:
        super().__init__(layer_norm)

    def score(self, observation: Observation) -> list[Tensor]:
        return [_total(_by_image((maps > 0).float())) for maps in observation.maps]


class Gradients(Streamed):
    """The mean over images of the norm of the loss's gradient with respect to a filter.

    The gradient is of one image at a time, since its norm over a batch depends on who else is in the batch.
    """

    def score(self, observation: Observation) -> list[Tensor]:
        return [_total(norms) for norms in observation.filter_gradient_norms]


class Taylor(Streamed):
    """How much the loss would change, to first order, if a filter's map were zero.

    Mean over images of |mean over positions of a ∂L/∂a| for the map a behind the ReLU. Molchanov et al. 2017, "Pruning
    Convolutional Neural Networks for Resource Efficient Inference", arXiv 1611.06440, equation 8.
    """

    def score(self, observation: Observation) -> list[Tensor]:
        pairs = zip(observation.maps, observation.map_gradients)
        return [_total(_by_image(maps * gradients).abs()) for maps, gradients in pairs]


class Hessian(Streamed):
    """How much the loss would change, to second order, if a filter's weights were zero: ½ Σ H_ii w_i².

    Sensitivity of Le Cun et al. 1990, "Optimal Brain Damage". The diagonal of the Hessian is estimated by Hutchinson's
    probes: H_ii is the mean of v_i (Hv)_i over random signs v (Bekas et al. 2007, doi 10.1016/j.apnum.2007.01.003).

    Args:
        probes: number of sign vectors v; the error falls with its square root.
        seed: of the signs, which are the same for every batch.
        layer_norm: divide each layer's importances by their L2 norm.
    """

    def __init__(self, probes: int = 8, seed: int = 0, layer_norm: bool = True) -> None:
        super().__init__(layer_norm)
        if probes < 1:
            raise ValueError(f"probes={probes} must be at least 1")
        self.probes = probes
        self.seed = seed

    def score(self, observation: Observation) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        probes = [self._probe(observation, generator) for _ in range(self.probes)]
        return [torch.stack(layer).mean(0) for layer in zip(*probes)]

    def _probe(self, observation: Observation, generator: torch.Generator) -> list[Tensor]:
        signs = [_signs(weight, generator) for weight in observation.weights]
        parts = zip(signs, observation.curvature(signs), observation.weights)
        return [(v * hv * w.square() / 2).flatten(1).sum(1) for v, hv, w in parts]


def _by_image(maps: Tensor) -> Tensor:
    """Means over positions, from (N, J, h, w) to (N, J)."""
    return maps.flatten(2).mean(2)


def _total(values: Tensor) -> Tensor:
    """The sum over images, from (N, J) to (J,), exact enough not to depend on how the images are split."""
    return values.to("cpu", torch.float64).sum(0)


def _signs(weight: Tensor, generator: torch.Generator) -> Tensor:
    """-1 or 1 for each weight, drawn on the CPU so that they are the same on every device."""
    return (2 * torch.randint(2, weight.shape, generator=generator) - 1).to(weight)
