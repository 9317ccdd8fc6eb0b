"""Perturbations of one size."""

import pytest
import torch

from attacks import FGSM, PGD, AtSize, CarliniWagner, DeepFool
from attacks.at_size import resized


def rmse(difference):
    return difference.flatten(1).square().mean(1).sqrt()


@pytest.mark.parametrize("attack", [FGSM(eps=0.1), DeepFool(), CarliniWagner(steps=20, searches=2, initial_c=1.0)])
@pytest.mark.parametrize("size", [0.01, 0.08])
def test_every_perturbation_has_the_size_and_the_direction(attack, size, network, correct):
    images, labels = correct
    plain = attack(network, images, labels)
    result = AtSize(attack, size)(network, images, labels)
    moved = rmse(plain.images - images) > 0
    torch.testing.assert_close(rmse(result.images - images)[moved], torch.full_like(images[moved][:, 0, 0, 0], size))
    assert result.images.aminmax() == (result.images.min(), result.images.max())
    assert 0 <= float(result.images.min()) <= float(result.images.max()) <= 1
    assert (result.success == (network(result.images).argmax(1) != labels)).all()
    assert result.steps.equal(plain.steps)


def test_a_longer_minimum_norm_attack_still_fools(network, correct):
    images, labels = correct
    plain = DeepFool()(network, images, labels)
    longer = AtSize(DeepFool(), 0.15)(network, images, labels)
    assert longer.success[plain.success].float().mean() > 0.9


def test_an_image_that_cannot_be_fooled_stays(unfoolable):
    images = torch.rand(3, 1, 4, 4)
    result = AtSize(DeepFool(), 0.05)(unfoolable, images)
    assert result.images.equal(images)
    assert not result.success.any()


def test_as_far_as_pixels_allow():
    images, attacked = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    attacked[0, 0, 0, 0] = 0.5
    assert resized(images, attacked, 0.4)[0, 0, 0, 0] == pytest.approx(0.8)
    assert resized(images, attacked, 0.9)[0, 0, 0, 0] == 1


def test_who_is_random():
    assert PGD().random
    assert AtSize(PGD()).random
    assert not any(attack.random for attack in (FGSM(), PGD(random_start=False), DeepFool(), AtSize(CarliniWagner())))


def test_refused_in_words():
    with pytest.raises(ValueError, match="AtSize: rmse=0 must be above 0"):
        AtSize(FGSM(), 0)
