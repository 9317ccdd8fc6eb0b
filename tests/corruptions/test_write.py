"""Folders in the benchmark's layout: written, interrupted, read again, refused."""

import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image

from corruptions import (
    COMMON,
    SEVERITIES,
    ImageNetSeverities,
    PictureFolder,
    ShotNoise,
    StoredCorruption,
    corruption,
    stored_labels,
    write_corrupted,
)
from corruptions.write import main

NAMES = ["shot_noise", "fog", "jpeg_compression"]


@pytest.fixture
def labels():
    return torch.arange(24) % 7


def test_the_layout_is_the_benchmarks(photographs, labels, tmp_path):
    write_corrupted(tmp_path / "deep" / "c", photographs, labels, NAMES, seed=4)
    folder = tmp_path / "deep" / "c"
    assert {path.name for path in folder.iterdir()} == {f"{name}.npy" for name in [*NAMES, "labels"]} | {"made.json"}
    for name in NAMES:
        rows = np.load(folder / f"{name}.npy")
        assert rows.shape == (5 * 24, 32, 32, 3)
        assert rows.dtype == np.uint8
        for severity in SEVERITIES:
            expected = corruption(name, severity).apply(photographs, torch.arange(24), seed=4)
            np.testing.assert_array_equal(rows[24 * (severity - 1) : 24 * severity], expected.permute(0, 2, 3, 1))
    written = np.load(folder / "labels.npy")
    assert written.dtype == np.uint8
    np.testing.assert_array_equal(written, np.tile(labels, 5))


def test_the_record_says_how_it_was_made(photographs, labels, tmp_path):
    write_corrupted(tmp_path, photographs, labels, ["fog"], ImageNetSeverities(), seed=4)
    made = json.loads((tmp_path / "made.json").read_text())
    assert (made["seed"], made["scale"]) == (4, "ImageNetSeverities")
    assert "pictures_sha256" not in made  # there is no frost
    assert set(made["versions"]) == {"torch", "numpy", "scipy", "pillow", "libjpeg_turbo"}
    assert made["sha256"]["fog"] == hashlib.sha256((tmp_path / "fog.npy").read_bytes()).hexdigest()


def test_what_was_written_is_read_like_any_corruption(photographs, labels, tmp_path):
    write_corrupted(tmp_path, photographs, labels, ["shot_noise"])
    indices = torch.tensor([20, 3, 3, 7])
    for severity in (1, 4):
        stored = StoredCorruption(tmp_path, "shot_noise", severity)
        computed = ShotNoise(severity).apply(photographs[indices], indices)
        assert torch.equal(stored.apply(photographs[indices], indices), computed)
        floats = stored.apply(photographs[indices] / 255, indices)
        assert torch.equal(floats, computed / 255)
        assert stored.apply(photographs[:0], indices[:0]).shape == (0, 3, 32, 32)
    assert torch.equal(stored_labels(tmp_path), labels)


def test_an_interrupted_command_goes_on(photographs, labels, tmp_path, monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("corruptions.weather.Fog.corrupt", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_corrupted(tmp_path, photographs, labels, NAMES)
    assert {path.name for path in tmp_path.iterdir()} == {"labels.npy", "shot_noise.npy", "made.json"}
    before = (tmp_path / "shot_noise.npy").stat().st_mtime_ns
    capsys.readouterr()
    write_corrupted(tmp_path, photographs, labels, NAMES)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["fog", "jpeg_compression"]
    assert (tmp_path / "shot_noise.npy").stat().st_mtime_ns == before
    assert set(json.loads((tmp_path / "made.json").read_text())["sha256"]) == {"labels", *NAMES}


def test_writing_is_refused_in_words(photographs, labels, tmp_path):
    write_corrupted(tmp_path / "c", photographs, labels, ["fog"])
    with pytest.raises(ValueError, match=r"different recipe \(seed\): name another folder"):
        write_corrupted(tmp_path / "c", photographs, labels, ["fog"], seed=1)
    with pytest.raises(ValueError, match=r"different recipe \(data_sha256\)"):
        write_corrupted(tmp_path / "c", photographs, labels + 1, ["fog"])
    with pytest.raises(ValueError, match=r"different recipe \(scale\)"):
        write_corrupted(tmp_path / "c", photographs, labels, ["fog"], ImageNetSeverities())
    with pytest.raises(ValueError, match="no corruption 'mist'"):
        write_corrupted(tmp_path / "new", photographs, labels, ["mist"])
    with pytest.raises(ValueError, match="images are torch.float32.*give uint8"):
        write_corrupted(tmp_path / "new", photographs / 255, labels, ["fog"])
    with pytest.raises(ValueError, match="labels go from 0 to 600"):
        write_corrupted(tmp_path / "new", photographs, labels * 100, ["fog"])
    assert not (tmp_path / "new").exists()
    (tmp_path / "official").mkdir()
    np.save(tmp_path / "official" / "fog.npy", np.zeros(3))
    with pytest.raises(ValueError, match="holds fog.npy from elsewhere"):
        write_corrupted(tmp_path / "official", photographs, labels, ["fog"])


def frost_pictures(folder, *levels):
    folder.mkdir()
    for number, level in enumerate(levels):
        Image.fromarray(np.full((200, 300, 3), level, np.uint8)).save(folder / f"frost{number}.png")
    return folder


def test_frost_is_of_the_same_pictures_wherever_they_are(photographs, labels, tmp_path):
    one, same, other = (
        PictureFolder(frost_pictures(tmp_path / name, *levels))
        for name, levels in (("one", [9, 90]), ("same", [9, 90]), ("other", [9, 91]))
    )
    write_corrupted(tmp_path / "c", photographs, labels, ["fog"], pictures=other)
    write_corrupted(tmp_path / "c", photographs, labels, ["frost"], pictures=one)
    record = json.loads((tmp_path / "c" / "made.json").read_text())
    write_corrupted(tmp_path / "c", photographs, labels, ["frost", "fog"], pictures=same)
    write_corrupted(tmp_path / "c", photographs, labels, ["contrast"], pictures=other)  # frost's pictures are no matter
    with pytest.raises(ValueError, match=r"different recipe \(pictures_sha256\)"):
        write_corrupted(tmp_path / "c", photographs, labels, ["frost"], pictures=other)
    with pytest.raises(ValueError, match=r"different recipe \(pictures_sha256\)"):
        write_corrupted(tmp_path / "c", photographs, labels, ["frost"])
    assert len(record["pictures_sha256"]) == 64
    assert json.loads((tmp_path / "c" / "made.json").read_text())["pictures_sha256"] == record["pictures_sha256"]


def test_missing_pictures_of_frost_are_refused_before_anything_is_written(tmp_path):
    words = ["--data", "datamodules.Digits", "--frost", str(tmp_path / "nowhere")]
    with pytest.raises(SystemExit, match="nowhere holds no picture .*leave the option out for computed ice"):
        main([str(tmp_path / "c"), *words, "--names", "contrast", "frost"])
    with pytest.raises(ValueError, match="there are no images to corrupt"):
        write_corrupted(tmp_path / "c", torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.long))
    assert not (tmp_path / "c").exists()


def test_reading_is_refused_in_words(photographs, labels, tmp_path):
    indices = torch.arange(24)
    write_corrupted(tmp_path, photographs[:8], labels[:8], ["fog"])
    with pytest.raises(FileNotFoundError, match=r"lacks snow.npy: it holds fog, labels"):
        StoredCorruption(tmp_path, "snow", 1)
    with pytest.raises(FileNotFoundError, match="it holds no .npy file at all"):
        StoredCorruption(tmp_path / "nowhere", "snow", 1)
    with pytest.raises(ValueError, match="severity=7"):
        StoredCorruption(tmp_path, "fog", 7)
    with pytest.raises(ValueError, match="holds 8 images per severity, but images 0 to 23"):
        StoredCorruption(tmp_path, "fog", 1).apply(photographs, indices)
    with pytest.raises(ValueError, match=r"holds images \(3, 32, 32\), but the data set's are \(1, 32, 32\)"):
        StoredCorruption(tmp_path, "fog", 1).apply(photographs[:8, :1], indices[:8])
    (tmp_path / "snow.npy").write_bytes((tmp_path / "fog.npy").read_bytes()[:1000])
    with pytest.raises(ValueError, match="snow.npy is truncated or damaged"):
        StoredCorruption(tmp_path, "snow", 1)
    np.save(tmp_path / "frost.npy", np.zeros((7, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="frost.npy holds uint8 of shape"):
        StoredCorruption(tmp_path, "frost", 1)
    np.save(tmp_path / "labels.npy", np.arange(40))
    with pytest.raises(ValueError, match="labels.npy must hold the same labels five times"):
        stored_labels(tmp_path)


def test_pickles_are_not_opened(tmp_path):
    np.save(tmp_path / "fog.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="fog.npy is truncated or damaged"):
        StoredCorruption(tmp_path, "fog", 1)


def test_the_command(tmp_path, capsys):
    main([str(tmp_path / "digits-c"), "--data", "datamodules.Digits", "--names", "contrast", "pixelate", "--seed", "3"])
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert np.load(tmp_path / "digits-c" / "contrast.npy").shape == (5 * 360, 32, 32, 3)
    assert len(stored_labels(tmp_path / "digits-c")) == 360


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "datamodules.Nothing"], "--data=datamodules.Nothing names no class"),
        (["--data", "Digits"], "--data=Digits names no class"),
        (["--root", "nowhere"], "nowhere/cifar-10-batches-py"),
        (["--data", "datamodules.Digits", "--names", "rain"], "no corruption 'rain'"),
    ],
)
def test_the_command_refuses_in_words(words, message):
    with pytest.raises(SystemExit, match=message):
        main(["out", *words])


def test_all_fifteen_by_default():
    from corruptions.write import parse

    assert parse(["out"]).names == list(COMMON)
