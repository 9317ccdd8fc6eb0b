"""One step along the gradient."""

from attacks.fixed_budget import FixedBudget


class FGSM(FixedBudget):
    """Fast gradient sign method: one step that changes every component by eps.

    Goodfellow et al. 2015, "Explaining and Harnessing Adversarial Examples", arXiv 1412.6572, section 4.

    Args:
        eps: size of the step in the L-infinity norm, in pixels scaled to [0, 1].
    """

    def __init__(self, eps: float = 8 / 255) -> None:
        super().__init__("linf", eps, eps, steps=1, random_start=False, restarts=1, stop="never")


class GradientAttack(FixedBudget):
    """One step along the gradient itself, scaled to length eps.

    Prakash 2019, thesis, chapter 4; also known as the fast gradient method.

    Args:
        eps: size of the step in the L2 norm, in pixels scaled to [0, 1].
    """

    def __init__(self, eps: float = 1.0) -> None:
        super().__init__("l2", eps, eps, steps=1, random_start=False, restarts=1, stop="never")
