"""An adversary changes the input."""

from attacks.attack import Attack, AttackResult
from attacks.attackable import attackable
from attacks.boxes import ClipBox, MaskBox, NoBox
from attacks.deepfool import DeepFool
from attacks.fgsm import FGSM, GradientAttack
from attacks.pgd import IGSM, PGD

__all__ = [
    "FGSM",
    "IGSM",
    "PGD",
    "Attack",
    "AttackResult",
    "ClipBox",
    "DeepFool",
    "GradientAttack",
    "MaskBox",
    "NoBox",
    "attackable",
]
