"""Files of perturbations: a round trip, published ones, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from attacks.perturbation_files import load_perturbation, save_perturbation

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "uap"


def test_a_round_trip(tmp_path):
    perturbation = torch.randn(3, 5, 7).mul(0.01)
    save_perturbation(perturbation, tmp_path / "v.npz")
    assert torch.equal(load_perturbation(tmp_path / "v.npz", (3, 5, 7)), perturbation)


def test_a_round_trip_through_safetensors(tmp_path):
    perturbation = torch.randn(5, 7, 3).permute(2, 0, 1)
    save_perturbation(perturbation, tmp_path / "v.safetensors")
    assert torch.equal(load_perturbation(tmp_path / "v.safetensors"), perturbation)


def test_safetensors_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ValueError, match=r"v\.safetensors: the package safetensors is not installed; .* use \.npz"):
        save_perturbation(torch.zeros(1, 8, 8), tmp_path / "v.safetensors")


def test_published_layouts(tmp_path):
    array = np.arange(2 * 4 * 3, dtype=np.float64).reshape(2, 4, 3)  # H, W, C
    savemat(tmp_path / "v.mat", {"r": array})
    np.save(tmp_path / "v.npy", array[None])
    for name in ("v.mat", "v.npy"):
        found = load_perturbation(tmp_path / name)
        assert found.shape == (3, 2, 4)
        assert float(found[2, 1, 3]) == pytest.approx(array[1, 3, 2] / 255)


@pytest.mark.parametrize("name", ["CaffeNet.mat", "VGG-16.mat", "inception_universal.npy"])
def test_published_files(name):
    if not (DATA / name).exists():
        pytest.skip(f"there is no uap/{name} in the shared data")
    found = load_perturbation(DATA / name, (3, 224, 224))
    assert float(found.abs().max()) == pytest.approx(10 / 255, rel=1e-3)


def test_refusals(tmp_path):
    save_perturbation(torch.zeros(1, 8, 8), tmp_path / "v.npz")
    with pytest.raises(ValueError, match=r"shape \(1, 8, 8\), the images have \(3, 8, 8\)"):
        load_perturbation(tmp_path / "v.npz", (3, 8, 8))
    with pytest.raises(ValueError, match="endings"):
        save_perturbation(torch.zeros(1, 8, 8), tmp_path / "v.png")
    (tmp_path / "v.png").touch()
    with pytest.raises(ValueError, match="read from"):
        load_perturbation(tmp_path / "v.png")
    with pytest.raises(FileNotFoundError, match="there is no perturbation file"):
        load_perturbation(tmp_path / "missing.npz")
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        save_perturbation(torch.zeros(8, 8), tmp_path / "w.npz")
    np.save(tmp_path / "v.npy", np.zeros((3, 8, 8)))
    with pytest.raises(ValueError, match="1 or 3"):
        load_perturbation(tmp_path / "v.npy")
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with pytest.raises(ValueError, match="save_perturbation wrote"):
        load_perturbation(tmp_path / "other.npz")
