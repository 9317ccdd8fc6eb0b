"""Banks of patches: written from a data set, read by quilting, refused in words."""

import sys

import pytest
import torch
from PIL import Image

from datamodules import Digits
from defenses import Quilting, patch_bank
from defenses.patches import main


def test_a_bank_of_a_data_set(tmp_path, capsys, photographs):
    file = tmp_path / "deep" / "bank.pt"
    main([str(file), "--data", "datamodules.Digits", "--images", "30", "--per-image", "4", "--size", "3"])
    assert capsys.readouterr().out == f"120 patches of 3x3 pixels: {file}\n"
    assert [path.name for path in file.parent.iterdir()] == ["bank.pt"]
    patches = torch.load(file, weights_only=True)
    digits = Digits(val_size=0)
    digits.setup("fit")
    images = next(iter(digits.plain_dataloader("train", 30)))[0]
    assert torch.equal(patches, patch_bank([images], 3, 4))
    assert Quilting(str(file))(photographs[:1]).shape == photographs[:1].shape


def test_pictures_without_an_official_split_keep_their_test_pictures(tmp_path):
    for shade in range(6):
        path = tmp_path / "val" / f"n{shade % 2}" / f"{shade}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (40 * shade,) * 3).save(path)
    file, places = tmp_path / "bank.pt", ["crop_size=32", "resize_to=32", "workers=0"]
    data = ["--data", "datamodules.ImageNet", "--root", str(tmp_path), "--set", "train=val", "test_size=2", *places]
    main([str(file), *data, "--per-image", "3"])
    patches = torch.load(file, weights_only=True)
    assert patches.shape == (12, 3, 5, 5)
    assert len(patches.unique()) == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--data", "datamodules.Nothing"], "--data=datamodules.Nothing names no class"),
        (["--data", "datamodules.Digits", "--per-image", "0"], "patch_bank: per_image=0 must be at least 1"),
        (["--data", "datamodules.Digits", "--size", "33"], "size=33 is larger than images of 32x32"),
        (["--data", "datamodules.Digits", "--set", "workers"], "--set workers has no value: write workers=VALUE"),
        (["--root", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_written_is_said(words, sentence, tmp_path):
    with pytest.raises(SystemExit, match=sentence):
        main([str(tmp_path / "bank.pt"), *words])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("neighbors", [1, 10])
def test_where_lists_hold_too_few_the_nearest_stands_in(neighbors):
    bank = torch.rand(40, 3, 5, 5)
    bank[0] = 0  # which must not come in instead
    image = 0.5 + 0.5 * torch.rand(4, 3, 32, 32)
    quilting = Quilting(bank, overlap=0, neighbors=neighbors, cells=20, probes=1)
    rows = quilting._nearest(torch.rand(200, 75) * 0.5 + 0.5, bank.flatten(1), neighbors)
    assert rows.min() > 0
    assert rows.max() < 40
    assert (quilting(image)[..., :30, :30] > 0).all()


def test_where_a_list_holds_nothing_the_search_is_exact():
    bank, queries = torch.rand(30, 1, 3, 3), torch.rand(50, 9)
    quilting = Quilting(bank, neighbors=2, cells=3, probes=1)

    class Empty:
        def search(self, rows, count):
            return None, torch.full((len(rows), count), -1).numpy()

    quilting._lists = Empty()
    nearest = torch.cdist(queries, bank.flatten(1)).argmin(1)
    assert torch.equal(quilting._nearest(queries, bank.flatten(1), 2), nearest.unsqueeze(1).expand(-1, 2))


def test_lists_without_faiss_are_refused_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match=r"cells=3 needs FAISS.*pip install faiss-cpu, or leave it out"):
        Quilting(torch.rand(30, 1, 3, 3), cells=3)
    assert Quilting(torch.rand(30, 1, 3, 3))(torch.rand(1, 1, 8, 8)).shape == (1, 1, 8, 8)


def test_banks_that_hold_something_else_are_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"there is no bank=.*none.pt: write one with python -m defenses.patches"
    ):
        Quilting(str(tmp_path / "none.pt"))
    torch.save({"patches": 1}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="holds a dict, not patches"):
        Quilting(str(tmp_path / "other.pt"))
    with pytest.raises(ValueError, match=r"holds torch.uint8 from 0 to 255, but floating-point pixels in \[0, 1\]"):
        Quilting(torch.tensor([0, 255], dtype=torch.uint8).repeat(50).view(4, 1, 5, 5))
    with pytest.raises(ValueError, match="from 0 to 255"):
        Quilting(torch.tensor([0.0, 255.0]).repeat(50).view(4, 1, 5, 5))
    with pytest.raises(ValueError, match="patch_bank: per_image=0 must be at least 1"):
        patch_bank([torch.rand(1, 3, 8, 8)], per_image=0)
