"""Which attacks are compared, ours under the same settings as the others, and what is claimed of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attacks import (
    FGSM,
    IGSM,
    JSMA,
    LBFGS,
    PGD,
    Attack,
    CarliniWagner,
    DeepFool,
    GradientAttack,
    OnSuccess,
    Single,
    UniversalAttack,
    UniversalGradient,
    UniversalPerturbation,
)
from attacks.fixed_budget import FixedBudget
from benchmarks.attack_peers import (
    CRAFTING_PASSES,
    DEEPFOOL_STEPS,
    EPS,
    GAMMA,
    INITIAL_C,
    L2_EPS,
    L2_STEP,
    LEARNING_RATE,
    SEARCH_STEPS,
    SEARCHES,
    STEP,
    STEPS,
    XI,
    Run,
    Runs,
)
from benchmarks.sequential_universal import craft


@dataclass(frozen=True)
class Aim:
    """What is claimed of one of ours, beside rivals that fool as many images at no larger distance.

    Attributes:
        ours: which of ours.
        most: its time, as a share of the fastest rival's.
        rivals: who counts, whatever they achieve; by default all others that achieve as much.
    """

    ours: str
    most: float
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bout:
    """One attack by all who have it.

    Attributes:
        title: with settings.
        key: the attack's name among the peers.
        size: which of the image counts applies; ``few`` where a peer takes one image at a time.
        ours: our ways to run it.
        kind: what is returned and what counts: ``images`` that leave the label, ``targets`` that are reached, or one
            ``universal`` perturbation, counted on held-out images.
        minimal: whether distances matter.
        aims: beside time over the time of the passes, which counts for all of ours.
    """

    title: str
    key: str
    size: Literal["all", "searched", "few", "crafting"]
    ours: Runs
    kind: Literal["images", "targets", "universal"] = "images"
    minimal: bool = False
    aims: tuple[Aim, ...] = field(default=())


def whole(attack: Attack, targeted: bool = False) -> Run:
    """A call that also says which images were fooled."""

    def run(model: nn.Module, images: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        return attack(model, images, labels, targets=targets if targeted else None).images

    return run


def training(attack: FixedBudget) -> Run:
    """A call as in training: the images alone."""
    return lambda model, images, labels, targets: attack.perturb(model, images, labels)


def published(micro_batch: int) -> UniversalAttack:
    """The published algorithm."""
    return UniversalPerturbation(Single(), radius=XI, passes=CRAFTING_PASSES, micro_batch=micro_batch)


def universal(craftsman: UniversalAttack) -> Run:
    """Ours, on one network."""
    return lambda model, images, labels, targets: craftsman([model], images).perturbation


def sequential(model: nn.Module, images: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The plain loop."""
    return craft(model, images)


PGD_LINF: dict[str, Any] = {"norm": "linf", "eps": EPS, "step": STEP, "steps": STEPS}
PGD_L2: dict[str, Any] = {"norm": "l2", "eps": L2_EPS, "step": L2_STEP, "steps": STEPS}
CW = CarliniWagner(0.0, SEARCH_STEPS, LEARNING_RATE, SEARCHES, INITIAL_C)
OURS, QUICK, TRAINING = "Assay", "Assay, stop on success", "Assay, perturb"
MICRO, CLIMBING = "Assay, micro-batches of 8", "Assay, by gradients, 2 passes"
UNIVERSAL: Runs = {
    OURS: universal(published(1)),
    MICRO: universal(published(8)),
    CLIMBING: universal(UniversalGradient(Single(), radius=XI, passes=2, batch_size=8)),
}

BOUTS = [
    Bout("FGSM, 8/255", "fgsm", "all", {OURS: whole(FGSM(EPS)), TRAINING: training(FGSM(EPS))}),
    Bout("gradient attack, L2 0.5", "gradient", "all", {OURS: whole(GradientAttack(L2_EPS))}),
    Bout(
        "IGSM, 8/255, 10 steps of 2/255",
        "igsm",
        "all",
        {OURS: whole(IGSM(EPS, STEP, STEPS, "never")), QUICK: whole(IGSM(EPS, STEP, STEPS))},
    ),
    Bout(
        "PGD L∞, 8/255, 10 steps of 2/255",
        "pgd",
        "all",
        {
            OURS: whole(PGD(**PGD_LINF)),
            TRAINING: training(PGD(**PGD_LINF)),
            QUICK: whole(PGD(**PGD_LINF, stop=OnSuccess())),
        },
        aims=(Aim(QUICK, 1 / 2),),
    ),
    Bout(
        "PGD L2, 0.5, 10 steps of 0.125",
        "pgd_l2",
        "all",
        {OURS: whole(PGD(**PGD_L2)), QUICK: whole(PGD(**PGD_L2, stop=OnSuccess()))},
    ),
    Bout(
        "DeepFool L2, 50 steps, 10 candidates",
        "deepfool",
        "all",
        {OURS: whole(DeepFool(steps=DEEPFOOL_STEPS))},
        minimal=True,
        aims=(Aim(OURS, 1.0),),
    ),
    Bout(
        "DeepFool L∞, 50 steps, 10 candidates", "deepfool_linf", "all", {OURS: whole(DeepFool("linf", DEEPFOOL_STEPS))}
    ),
    Bout(
        "DeepFool L2, beside loops over images",
        "deepfool_one",
        "few",
        {OURS: whole(DeepFool(steps=DEEPFOOL_STEPS))},
        minimal=True,
    ),
    Bout(
        f"Carlini–Wagner L2, {SEARCHES} searches of {SEARCH_STEPS} steps",
        "carlini_wagner",
        "searched",
        {OURS: whole(CW)},
        minimal=True,
        aims=(Aim(OURS, 1.0),),
    ),
    Bout("L-BFGS, 4 searches of 30 steps", "lbfgs", "searched", {OURS: whole(LBFGS(30, 4))}, minimal=True),
    Bout(
        "JSMA towards the next class, 10 % of the components",
        "jsma",
        "few",
        {OURS: whole(JSMA(gamma=GAMMA), targeted=True)},
        kind="targets",
        aims=(Aim(OURS, 1 / 5, ("torchattacks",)),),
    ),
    Bout(
        "universal L∞, 10/255, one pass of the published algorithm",
        "universal",
        "crafting",
        UNIVERSAL | {"sequential loop": sequential},
        kind="universal",
        aims=tuple(
            Aim(ours, most, (rival,))
            for rival, most in (("sequential loop", 1 / 1.3), ("adversarial-robustness-toolbox", 1 / 20))
            for ours in UNIVERSAL
        ),
    ),
]


@dataclass(frozen=True)
class Subject:
    """Whom everybody attacks.

    Attributes:
        network: in eval mode, from images in [0, 1] to scores.
        images: (N, C, H, W) that it recognises.
        labels: (N,).
        crafting: (M, C, H, W) that universal perturbations are made on.
    """

    network: nn.Module
    images: Tensor
    labels: Tensor
    crafting: Tensor


@dataclass(frozen=True)
class Verdict:
    """What an attack has achieved.

    Attributes:
        success: (N,) per attacked image, or per held-out image under a universal perturbation.
        l2: (N,) length of each perturbation, in pixels scaled to [0, 1].
        linf: (N,) its largest component.
    """

    success: Tensor
    l2: Tensor
    linf: Tensor


@torch.no_grad()
def verdict(bout: Bout, subject: Subject, made: Tensor, labels: Tensor, targets: Tensor, images: Tensor) -> Verdict:
    """Judge what came back, with the network itself, whatever the library says."""
    if bout.kind == "universal":
        images, labels, made = subject.images, subject.labels, subject.images + made
    predicted = subject.network(made.to(images)).argmax(1)
    success = predicted == targets if bout.kind == "targets" else predicted != labels
    delta = (made - images).flatten(1)
    return Verdict(success, delta.norm(dim=1), delta.abs().amax(1))


Measure = Callable[[], float]
