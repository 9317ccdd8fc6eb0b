"""An adversary changes the input.

Attacks are configured once and called on any model from images in [0, 1] to class scores::

    result = PGD("linf", eps=8 / 255, steps=20, restarts=2, stop="success")(network, images, labels)
    robust_accuracy = (~result.success & ~result.already).float().mean()
    nearest = DeepFool("l2")(network, images)  # away from the network's own predictions
    distances = (nearest.images - images).flatten(1).norm(dim=1)[nearest.success]
    hit = CarliniWagner(confidence=1.0)(network, images, labels, targets=targets).success
    harder = PGD(eps=8 / 255, steps=7).perturb(network, images, labels, generator=generator)  # in a training step
"""

from attacks.at_size import AtSize
from attacks.attack import Attack, AttackResult
from attacks.attackable import attackable
from attacks.boxes import ClipBox, MaskBox, NoBox
from attacks.carlini_wagner import CarliniWagner
from attacks.crafting import UniversalAttack, UniversalResult
from attacks.deepfool import DeepFool
from attacks.fgsm import FGSM, GradientAttack
from attacks.interpolation import interpolate, scan
from attacks.jsma import JSMA
from attacks.known_perturbation import KnownPerturbation
from attacks.lbfgs import LBFGS
from attacks.norms import L2, Linf
from attacks.panel import fooling_rates
from attacks.perturbation_files import load_perturbation, save_perturbation
from attacks.pgd import IGSM, PGD
from attacks.projections import Nearest, PrintedFormula
from attacks.saliency import Pairs, Singles
from attacks.schedules import Alternate, EveryNetwork, Single
from attacks.stops import Never, OnSuccess
from attacks.universal import UniversalPerturbation
from attacks.universal_gradient import UniversalGradient

__all__ = [
    "FGSM",
    "IGSM",
    "JSMA",
    "L2",
    "LBFGS",
    "PGD",
    "Alternate",
    "AtSize",
    "Attack",
    "AttackResult",
    "CarliniWagner",
    "ClipBox",
    "DeepFool",
    "EveryNetwork",
    "GradientAttack",
    "KnownPerturbation",
    "Linf",
    "MaskBox",
    "Nearest",
    "Never",
    "NoBox",
    "OnSuccess",
    "Pairs",
    "PrintedFormula",
    "Single",
    "Singles",
    "UniversalAttack",
    "UniversalGradient",
    "UniversalPerturbation",
    "UniversalResult",
    "attackable",
    "fooling_rates",
    "interpolate",
    "load_perturbation",
    "save_perturbation",
    "scan",
]
