"""Beside other libraries, where they are installed: the same images, or distances that are no larger."""

import pytest
import torch

from attacks import FGSM, IGSM, JSMA, PGD, CarliniWagner, DeepFool, GradientAttack
from attacks.norms import L2

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def foolbox(network):
    library = pytest.importorskip("foolbox", exc_type=ImportError)
    return library.attacks, library.PyTorchModel(network, bounds=(0, 1))


@pytest.fixture
def torchattacks():
    return pytest.importorskip("torchattacks", exc_type=ImportError)


def sizes(images, clean):
    return L2().size(images - clean)


def test_fgsm(network, correct, torchattacks):
    torch.testing.assert_close(FGSM(0.1)(network, *correct).images, torchattacks.FGSM(network, eps=0.1)(*correct))


def test_gradient_attack(network, correct, foolbox):
    attacks, model = foolbox
    theirs = attacks.L2FastGradientAttack()(model, *correct, epsilons=1.0)[1]
    torch.testing.assert_close(GradientAttack(1.0)(network, *correct).images, theirs)


def test_igsm(network, correct, foolbox):
    attacks, model = foolbox
    theirs = attacks.LinfBasicIterativeAttack(abs_stepsize=0.02, steps=10)(model, *correct, epsilons=0.1)[1]
    ours = IGSM(0.1, step=0.02, steps=10, stop="never")(network, *correct).images
    assert ((ours - theirs).abs() < 1e-5).float().mean() > 0.99  # a gradient of zero has any sign


def test_pgd_l2(network, correct, foolbox):
    attacks, model = foolbox
    attack = attacks.L2PGD(abs_stepsize=0.2, steps=10, random_start=False)
    ours = PGD("l2", 1.0, 0.2, steps=10, random_start=False)(network, *correct).images
    torch.testing.assert_close(ours, attack(model, *correct, epsilons=1.0)[1], rtol=0, atol=1e-4)


def test_deepfool(network, correct, foolbox):
    attacks, model = foolbox
    theirs = attacks.L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02)(model, *correct, epsilons=None)[1]
    ours = DeepFool()(network, *correct)
    assert ours.success.all()
    assert sizes(ours.images, correct[0]).mean() <= 1.01 * sizes(theirs, correct[0]).mean()


def test_jsma(network, correct, torchattacks):
    images, labels = correct[0][:5], correct[1][:5]
    theirs = torchattacks.JSMA(network, theta=1.0, gamma=0.5)(images, labels)
    ours = JSMA(gamma=0.5)(network, images, targets=(labels + 1) % 10)
    assert ours.success.any()
    torch.testing.assert_close(ours.images[ours.success], theirs[ours.success])


def test_carlini_wagner(network, correct, foolbox):
    attacks, model = foolbox
    images, labels = correct[0][:10], correct[1][:10]
    settings = {"steps": 100, "initial_const": 1.0, "stepsize": 0.05, "binary_search_steps": 4}
    theirs = attacks.L2CarliniWagnerAttack(**settings)(model, images, labels, epsilons=None)[1]
    ours = CarliniWagner(0, 100, 0.05, 4, 1.0)(network, images, labels)
    assert ours.success.all()
    assert sizes(ours.images, images).mean() <= 1.01 * sizes(theirs, images).mean()
