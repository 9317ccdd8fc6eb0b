"""An adversary changes the input."""

from attacks.attack import Attack, AttackResult
from attacks.attackable import attackable
from attacks.fgsm import FGSM, GradientAttack
from attacks.pgd import IGSM, PGD

__all__ = [
    "FGSM",
    "IGSM",
    "PGD",
    "Attack",
    "AttackResult",
    "GradientAttack",
    "attackable",
]
