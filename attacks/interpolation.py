"""Between two universal perturbations."""

from collections.abc import Sequence

from torch import Tensor

from attacks.attack import Model
from attacks.boxes import Box
from attacks.panel import fooling_rates_of_each

LAMS = [step / 20 for step in range(21)]


def interpolate(v_f: Tensor, v_g: Tensor, lam: float) -> Tensor:
    """λ·v_f + (1−λ)·v_g, which stays in any ball that holds both.

    Kühne and Tödtli, "Combining Universal Adversarial Perturbations", equation 1.

    Args:
        v_f: (C, H, W).
        v_g: (C, H, W).
        lam: λ, from 0 to 1.
    """
    if v_f.shape != v_g.shape:
        raise ValueError(f"v_f has shape {tuple(v_f.shape)}, v_g {tuple(v_g.shape)}: resize one of them")
    if not 0 <= lam <= 1:
        raise ValueError(f"lam={lam} must lie from 0 to 1")
    return lam * v_f + (1 - lam) * v_g


def scan(
    networks: Sequence[Model],
    images: Tensor,
    v_f: Tensor,
    v_g: Tensor,
    lams: Sequence[float] = LAMS,
    box: Box | None = None,
) -> Tensor:
    """Fooling rates (len(lams), networks) of interpolations, at 0, 0.05, ..., 1 by default.

    Args:
        networks: from images in [0, 1] to class scores (N, num_classes).
        images: (N, C, H, W) in [0, 1].
        v_f: (C, H, W), alone at 1.
        v_g: (C, H, W), alone at 0.
        lams: values of λ from 0 to 1.
        box: as in ``fooling_rates``.
    """
    return fooling_rates_of_each(networks, images, [interpolate(v_f, v_g, lam) for lam in lams], box)
