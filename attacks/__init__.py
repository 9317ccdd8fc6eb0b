"""An adversary changes the input."""

from attacks.attack import Attack, AttackResult
from attacks.attackable import attackable
from attacks.boxes import ClipBox, MaskBox, NoBox
from attacks.carlini_wagner import CarliniWagner
from attacks.deepfool import DeepFool
from attacks.fgsm import FGSM, GradientAttack
from attacks.interpolation import interpolate, scan
from attacks.jsma import JSMA
from attacks.lbfgs import LBFGS
from attacks.panel import fooling_rates
from attacks.perturbation_files import load_perturbation, save_perturbation
from attacks.pgd import IGSM, PGD
from attacks.projections import Nearest, PrintedFormula
from attacks.saliency import Pairs, Singles
from attacks.schedules import Alternate, EveryNetwork, Single
from attacks.universal import UniversalPerturbation, UniversalResult

__all__ = [
    "FGSM",
    "IGSM",
    "JSMA",
    "LBFGS",
    "PGD",
    "Alternate",
    "Attack",
    "AttackResult",
    "CarliniWagner",
    "ClipBox",
    "DeepFool",
    "EveryNetwork",
    "GradientAttack",
    "MaskBox",
    "Nearest",
    "NoBox",
    "Pairs",
    "PrintedFormula",
    "Single",
    "Singles",
    "UniversalPerturbation",
    "UniversalResult",
    "attackable",
    "fooling_rates",
    "interpolate",
    "load_perturbation",
    "save_perturbation",
    "scan",
]
