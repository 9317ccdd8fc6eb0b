"""An adversary changes the input."""

from attacks.attack import Attack, AttackResult
from attacks.attackable import attackable
from attacks.boxes import ClipBox, MaskBox, NoBox
from attacks.carlini_wagner import CarliniWagner
from attacks.deepfool import DeepFool
from attacks.fgsm import FGSM, GradientAttack
from attacks.jsma import JSMA
from attacks.pgd import IGSM, PGD
from attacks.saliency import Pairs, Singles

__all__ = [
    "FGSM",
    "IGSM",
    "JSMA",
    "PGD",
    "Attack",
    "AttackResult",
    "CarliniWagner",
    "ClipBox",
    "DeepFool",
    "GradientAttack",
    "MaskBox",
    "NoBox",
    "Pairs",
    "Singles",
    "attackable",
]
