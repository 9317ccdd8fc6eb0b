"""The attacks of other libraries, set up like ours and called as their guides say."""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

EPS, STEP, STEPS = 8 / 255, 2 / 255, 10
L2_EPS, L2_STEP = 0.5, 0.125
DEEPFOOL_STEPS = 50
SEARCHES, SEARCH_STEPS, INITIAL_C, LEARNING_RATE = 5, 100, 1.0, 0.01  # of Carlini and Wagner's attack
GAMMA = 0.1  # share of the components that JSMA may change
XI, CRAFTING_PASSES = 10 / 255, 1  # budget of a universal perturbation

Run = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]  # model, images, labels, targets -> attacked images
Runs = dict[str, Run]  # by the attack's short name


def torchattacks() -> Runs:
    """Harry24k/adversarial-attacks-pytorch."""
    ta: Any = import_module("torchattacks")
    cw = {"c": INITIAL_C, "steps": SEARCH_STEPS, "lr": LEARNING_RATE}  # one search
    return {
        "fgsm": lambda model, x, y, t: ta.FGSM(model, EPS)(x, y),
        "igsm": lambda model, x, y, t: ta.BIM(model, EPS, STEP, STEPS)(x, y),
        "pgd": lambda model, x, y, t: ta.PGD(model, EPS, STEP, STEPS)(x, y),
        "pgd_l2": lambda model, x, y, t: ta.PGDL2(model, L2_EPS, L2_STEP, STEPS)(x, y),
        "deepfool_one": lambda model, x, y, t: ta.DeepFool(model, DEEPFOOL_STEPS, 0.02)(x, y),
        "carlini_wagner": lambda model, x, y, t: ta.CW(model, **cw)(x, y),
        "jsma": lambda model, x, y, t: ta.JSMA(model, 1.0, GAMMA)(x, y),  # towards the next class
    }


def foolbox() -> Runs:
    """bethgelab/foolbox."""
    fa: Any = import_module("foolbox.attacks")
    wrap: Any = import_module("foolbox").PyTorchModel
    cw = {"steps": SEARCH_STEPS, "initial_const": INITIAL_C, "stepsize": LEARNING_RATE}
    deepfool = {"steps": DEEPFOOL_STEPS, "candidates": 10, "overshoot": 0.02}

    def run(attack: Any, eps: float | None) -> Run:
        def attacked(model: nn.Module, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
            points: Tensor = attack(wrap(model, bounds=(0, 1), device=x.device), x, y, epsilons=eps)[1]
            return points

        return attacked

    return {
        "fgsm": run(fa.FGSM(), EPS),
        "gradient": run(fa.L2FastGradientAttack(), L2_EPS),
        "igsm": run(fa.LinfBasicIterativeAttack(abs_stepsize=STEP, steps=STEPS), EPS),
        "pgd": run(fa.LinfPGD(abs_stepsize=STEP, steps=STEPS), EPS),
        "pgd_l2": run(fa.L2PGD(abs_stepsize=L2_STEP, steps=STEPS), L2_EPS),
        "deepfool": run(fa.L2DeepFoolAttack(**deepfool), None),
        "deepfool_linf": run(fa.LinfDeepFoolAttack(**deepfool), None),
        "carlini_wagner": run(fa.L2CarliniWagnerAttack(binary_search_steps=SEARCHES, **cw), None),
    }


def adversarial_robustness_toolbox() -> Runs:
    """Trusted-AI/adversarial-robustness-toolbox, without C&W, which takes minutes for 16 images."""
    ea: Any = import_module("art.attacks.evasion")
    wrap: Any = import_module("art.estimators.classification").PyTorchClassifier

    def run(make: Callable[[Any, int], Any], names: str = "labels") -> Run:
        def attacked(model: nn.Module, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
            device = "gpu" if x.is_cuda else "cpu"
            loss = nn.CrossEntropyLoss()
            classifier = wrap(model, loss, tuple(x.shape[1:]), 10, clip_values=(0, 1), device_type=device)
            classes = {"labels": y, "targets": t}[names].cpu().numpy()
            made = make(classifier, len(x)).generate(x.cpu().numpy(), y=classes)
            return torch.from_numpy(made).to(x)

        return attacked

    def universal(model: nn.Module, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        inner = {"max_iter": 10, "epsilon": 0.02, "nb_grads": 10, "verbose": False}
        outer = {"attacker": "deepfool", "delta": 1e-6, "max_iter": CRAFTING_PASSES, "verbose": False}
        wrapped = wrap(model, nn.CrossEntropyLoss(), tuple(x.shape[1:]), 10, device_type="gpu" if x.is_cuda else "cpu")
        attack = ea.UniversalPerturbation(wrapped, attacker_params=inner, eps=XI, norm=torch.inf, **outer)
        attack.generate(x.cpu().numpy())
        return torch.from_numpy(attack.noise).to(x)[0]

    pgd = {"eps_step": STEP, "max_iter": STEPS, "num_random_init": 1, "verbose": False}
    l2 = pgd | {"norm": 2, "eps": L2_EPS, "eps_step": L2_STEP}
    deepfool = {"max_iter": DEEPFOOL_STEPS, "epsilon": 0.02, "verbose": False}
    jsma = {"theta": 1.0, "gamma": GAMMA, "verbose": False}
    return {
        "fgsm": run(lambda c, n: ea.FastGradientMethod(c, eps=EPS, batch_size=n)),
        "gradient": run(lambda c, n: ea.FastGradientMethod(c, norm=2, eps=L2_EPS, batch_size=n)),
        "igsm": run(lambda c, n: ea.BasicIterativeMethod(c, EPS, STEP, STEPS, batch_size=n, verbose=False)),
        "pgd": run(lambda c, n: ea.ProjectedGradientDescentPyTorch(c, eps=EPS, batch_size=n, **pgd)),
        "pgd_l2": run(lambda c, n: ea.ProjectedGradientDescentPyTorch(c, batch_size=n, **l2)),
        "deepfool_one": run(lambda c, n: ea.DeepFool(c, batch_size=n, **deepfool)),
        "jsma": run(lambda c, n: ea.SaliencyMapMethod(c, batch_size=n, **jsma), "targets"),
        "universal": universal,
    }


def adv_lib() -> Runs:
    """jeromerony/adversarial-library."""
    if find_spec("visdom") is None:  # only draws curves, which are not asked for; current setuptools can't build it
        sys.modules["visdom"] = ModuleType("visdom")
    al: Any = import_module("adv_lib.attacks")
    cw = {"max_iterations": SEARCH_STEPS, "initial_const": INITIAL_C, "binary_search_steps": SEARCHES}
    pgd = {"steps": STEPS, "absolute_step_size": STEP}
    return {
        "pgd": lambda model, x, y, t: al.pgd_linf(model, x, y, EPS, **pgd),
        "deepfool": lambda model, x, y, t: al.df(model, x, y, steps=DEEPFOOL_STEPS),
        "deepfool_linf": lambda model, x, y, t: al.df(model, x, y, steps=DEEPFOOL_STEPS, norm=torch.inf),
        "carlini_wagner": lambda model, x, y, t: al.carlini_wagner_l2(model, x, y, learning_rate=LEARNING_RATE, **cw),
    }


LIBRARIES: dict[str, Callable[[], Runs]] = {
    "torchattacks": torchattacks,
    "foolbox": foolbox,
    "adversarial-robustness-toolbox": adversarial_robustness_toolbox,
    "adv-lib": adv_lib,
}


def installed() -> tuple[dict[str, Runs], dict[str, str]]:
    """The libraries that can be imported, with their attacks; and all of them, with a version or what is missing."""
    found, state = dict[str, Runs](), dict[str, str]()
    for name, load in LIBRARIES.items():
        try:
            found[name] = load()
            state[name] = version(name)
        except ImportError as error:
            state[name] = f"missing ({error})"
    return found, state
