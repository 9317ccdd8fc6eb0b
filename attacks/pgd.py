"""Many small steps along the gradient."""

from math import ceil

from attacks.fixed_budget import FixedBudget
from attacks.norms import Norm, NormName
from attacks.stops import Stop, StopName


class PGD(FixedBudget):
    """Projected gradient descent: small steps from a random point of the ball.

    Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", arXiv 1706.06083, section 2.1.
    One step with ``step`` of 1.25 eps is the fast training of Wong et al. 2020, arXiv 2001.03994.

    Args:
        norm: of the budget, ``linf`` or ``l2``, or an object.
        eps: radius of the ball, in pixels scaled to [0, 1].
        step: length of a step, in the same unit; None for 2.5 eps / steps, which crosses the ball.
        steps: at most so many.
        restarts: so many random starts for an image that is not fooled.
        stop: ``never`` for training; ``success`` for evaluation, which leaves an image alone once it is fooled.
        random_start: false starts at the clean image, as the basic iterative method does.
    """

    def __init__(
        self,
        norm: Norm | NormName = "linf",
        eps: float = 8 / 255,
        step: float | None = None,
        steps: int = 10,
        restarts: int = 1,
        stop: Stop | StopName = "never",
        random_start: bool = True,
    ) -> None:
        step = 2.5 * eps / max(steps, 1) if step is None else step
        super().__init__(norm, eps, step, steps, random_start, restarts, stop)


class IGSM(FixedBudget):
    """Iterative gradient sign method: small sign steps from the clean image, until it is fooled.

    Kurakin et al. 2017, "Adversarial examples in the physical world", arXiv 1607.02533, section 2.2, whose number of
    steps is the default; also known as the basic iterative method.

    Args:
        eps: radius of the ball in the L-infinity norm, in pixels scaled to [0, 1].
        step: change of every component in a step, in the same unit.
        steps: at most so many; None for the smaller of 255 eps + 4 and 1.25 × 255 eps, rounded up.
        stop: ``success`` leaves an image alone once it is fooled; ``never`` makes all steps.
    """

    def __init__(
        self,
        eps: float = 8 / 255,
        step: float = 1 / 255,
        steps: int | None = None,
        stop: Stop | StopName = "success",
    ) -> None:
        levels = 255 * eps
        # Rounded first: 255 × (8 / 255) may be a hair above 8, which ceil would make a step more.
        default = max(1, ceil(round(min(levels + 4, 1.25 * levels), 6)))
        super().__init__("linf", eps, step, default if steps is None else steps, False, 1, stop)
