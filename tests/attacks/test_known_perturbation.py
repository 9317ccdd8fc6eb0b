"""Finished perturbations as attacks."""

import pytest
import torch

from attacks import ClipBox, KnownPerturbation, NoBox, fooling_rates, save_perturbation


@pytest.mark.parametrize("box", [ClipBox(), NoBox()])
def test_every_image_gets_the_perturbation(trained, digits, tmp_path, box):
    images = digits[1][0][:40]
    vector = 0.4 * torch.randn(1, 8, 8).sign()
    save_perturbation(vector, tmp_path / "v.npz")
    attack = KnownPerturbation(tmp_path / "v.npz", box)
    result = attack(trained, images)
    assert torch.equal(result.images, box.place(images + vector))
    assert result.success.double().mean() == fooling_rates([trained], images, vector, box)[0]
    assert 0 < result.success.sum() < 40
    assert (result.forward_passes == 2).all()
    assert "v.npz" in repr(attack)


def test_another_shape_is_refused(trained, tmp_path):
    save_perturbation(torch.zeros(1, 9, 9), tmp_path / "v.npz")
    with pytest.raises(ValueError, match=r"shape \(1, 9, 9\), the images have \(1, 8, 8\)"):
        KnownPerturbation(tmp_path / "v.npz")(trained, torch.rand(2, 1, 8, 8))
    with pytest.raises(FileNotFoundError, match="there is no perturbation file"):
        KnownPerturbation(tmp_path / "missing.npz")


def test_its_words_tell_a_file_that_was_written_anew(tmp_path):
    words = []
    for value in (0.01, 0.02, 0.01):
        save_perturbation(torch.full((3, 8, 8), value), tmp_path / "v.npz")
        words.append(repr(KnownPerturbation(tmp_path / "v.npz")))
    assert words[0] == words[2] != words[1]
