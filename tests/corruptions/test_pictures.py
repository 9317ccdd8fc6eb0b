from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from corruptions import Frost, IceTexture, PictureFolder
from corruptions.ice import LOOKS, ice_picture

FROST = Path(__file__).parents[3] / "shared" / "data" / "frost"


def roughness(picture):
    """The mean contrast within 32x32 pixels, every fifth pixel taken: what an image of CIFAR's size gets."""
    thin = picture.double().mean(2)[2::5, 2::5] / 255
    return thin.unfold(0, 32, 16).unfold(1, 32, 16).flatten(2).std(2).mean().item()


def test_ice_looks_as_described_and_is_always_the_same():
    pictures = IceTexture().load()
    assert len(pictures) == len(LOOKS)
    assert torch.equal(pictures[2], torch.from_numpy(ice_picture(2)))
    for picture, (mean, deviation, tint) in zip(pictures, LOOKS):
        assert picture.shape == (480, 640, 3)
        assert picture.dtype == torch.uint8
        grey = picture.double().mean(2) / 255
        assert grey.mean().item() == pytest.approx(mean, abs=0.01)
        assert grey.std().item() == pytest.approx(deviation, rel=0.06)
        assert 0.8 * deviation < roughness(picture) < deviation
        colours = picture.double().mean((0, 1))
        assert (colours / colours.mean()).tolist() == pytest.approx(tint, abs=0.03)


@pytest.mark.skipif(not FROST.is_dir(), reason=f"{FROST} with the benchmark's pictures of frost is missing")
def test_ice_is_about_as_bright_and_rough_as_the_benchmarks_frost():
    published = PictureFolder(FROST).load()[:5]
    for ours, theirs in zip(IceTexture().load(), published):
        assert ours.double().mean().item() == pytest.approx(theirs.double().mean().item(), abs=5)
        assert roughness(ours) == pytest.approx(roughness(theirs), rel=0.3)


@pytest.mark.skipif(not FROST.is_dir(), reason=f"{FROST} with the benchmark's pictures of frost is missing")
def test_both_kinds_of_frost_change_images_alike(photographs):
    indices = torch.arange(24)
    for severity in (1, 3, 5):
        changes = [
            (Frost(severity, pictures=pictures).apply(photographs, indices).int() - photographs).abs().double().mean()
            for pictures in (IceTexture(), PictureFolder(FROST))
        ]
        assert changes[0].item() == pytest.approx(changes[1].item(), rel=0.15)


def test_a_folder_is_read_in_order_and_other_files_are_left_out(tmp_path):
    for name, level in (("b.png", 20), ("a.jpg", 10), ("c.JPEG", 30)):
        Image.fromarray(np.full((9, 8), level, np.uint8)).save(tmp_path / name)
    (tmp_path / "readme.txt").write_text("frost")
    pictures = PictureFolder(tmp_path).load()
    assert [picture.shape for picture in pictures] == [(9, 8, 3)] * 3
    assert [picture.double().mean().round().item() for picture in pictures] == [10, 20, 30]


def test_refused_in_words(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no picture .*computed ice"):
        PictureFolder(tmp_path).load()
    (tmp_path / "frost1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="frost1.png is truncated or no picture"):
        PictureFolder(tmp_path).load()
    Image.fromarray(np.zeros((2, 90, 3), np.uint8)).save(tmp_path / "frost1.png")
    with pytest.raises(ValueError, match="of less than 3 pixels a side: take larger ones"):
        Frost(1, pictures=PictureFolder(tmp_path)).apply(torch.zeros(1, 3, 8, 8), torch.arange(1))
