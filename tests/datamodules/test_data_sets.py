"""Every data set from its official layout, on small files that the test writes; and what is said when one is wrong."""

import gzip
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from datamodules import CIFAR10, CIFAR100, MNIST, SVHN, Digits, FashionMNIST, ImageNet, RandomResizedCrop

RANDOM = np.random.default_rng(0)


def write_pickle(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({key.encode(): value for key, value in content.items()}))


def write_cifar10(root, per_file=6):
    for name in (*CIFAR10.train_files, *CIFAR10.test_files):
        rows = RANDOM.integers(0, 256, (per_file, 3072), np.uint8)
        write_pickle(root / CIFAR10.folder / name, data=rows, labels=[k % 10 for k in range(per_file)])


def write_cifar100(root):
    for name in ("train", "test"):
        rows = RANDOM.integers(0, 256, (12, 3072), np.uint8)
        write_pickle(root / CIFAR100.folder / name, data=rows, fine_labels=list(range(88, 100)))
    write_pickle(root / CIFAR100.folder / "meta", fine_label_names=[f"class {k}" for k in range(100)])


def write_svhn(root):
    root.mkdir(exist_ok=True)
    for name in ("train", "test"):
        images = RANDOM.integers(0, 256, (32, 32, 3, 12), np.uint8)
        savemat(root / f"{name}_32x32.mat", {"X": images, "y": np.arange(1, 13)[:, None] % 10 + 1})


def write_mnist(root, name="MNIST", compress=gzip.compress, suffix=".gz"):
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        images = struct.pack(">BBBBIII", 0, 0, 8, 3, 12, 28, 28) + RANDOM.bytes(12 * 784)
        labels = struct.pack(">BBBBI", 0, 0, 8, 1, 12) + bytes(k % 10 for k in range(12))
        (folder / f"{prefix}-images-idx3-ubyte{suffix}").write_bytes(compress(images))
        (folder / f"{prefix}-labels-idx1-ubyte{suffix}").write_bytes(compress(labels))


def write_imagenet(root, folders=("train", "val"), classes=("n01", "n03")):
    for folder in folders:
        for name in classes:
            (root / folder / name).mkdir(parents=True)
            for k in range(4):
                pixels = RANDOM.integers(0, 256, (40 + k, 30 + 2 * k, 3), np.uint8)
                Image.fromarray(pixels).save(root / folder / name / f"{k}.jpg")


DATA_SETS = {
    "cifar10": (write_cifar10, lambda root: CIFAR10(root=str(root), val_size=10), 20, 6, (3, 32, 32)),
    "cifar100": (write_cifar100, lambda root: CIFAR100(root=str(root), val_size=4), 8, 12, (3, 32, 32)),
    "svhn": (write_svhn, lambda root: SVHN(root=str(root), val_size=4), 8, 12, (3, 32, 32)),
    "mnist": (write_mnist, lambda root: MNIST(root=str(root), val_size=4), 8, 12, (3, 32, 32)),
    "mnist, grey": (
        lambda root: write_mnist(root, compress=bytes, suffix=""),
        lambda root: MNIST(root=str(root), val_size=4, colour=False),
        8,
        12,
        (1, 28, 28),
    ),
    "fashion": (
        lambda root: write_mnist(root, "FashionMNIST"),
        lambda root: FashionMNIST(root=str(root), val_size=4),
        8,
        12,
        (3, 32, 32),
    ),
    "imagenet": (
        write_imagenet,
        lambda root: ImageNet(root=str(root), val_size=2, crop_size=24, resize_to=32, workers=0),
        6,
        8,
        (3, 24, 24),
    ),
    "digits": (lambda root: None, lambda root: Digits(), 1257, 360, (3, 32, 32)),
}


@pytest.mark.parametrize("name", DATA_SETS)
def test_reads_the_official_layout(name, tmp_path):
    write, build, train_size, test_size, shape = DATA_SETS[name]
    write(tmp_path)
    data = build(tmp_path)
    data.setup("fit")
    data.setup("test")
    assert len(data.sources["train"]) == train_size
    assert len(data.sources["test"]) == test_size
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        images, labels = next(iter(loader))
        assert images.shape[1:] == shape
        assert images.dtype == torch.float32
        assert 0 <= images.min() <= images.max() <= 1
        assert 0 <= labels.min() <= labels.max() < data.num_classes


def test_pixels_and_labels_are_those_of_the_files(tmp_path):
    write_cifar10(tmp_path)
    content = pickle.loads((tmp_path / CIFAR10.folder / "test_batch").read_bytes())
    source = CIFAR10(root=str(tmp_path), val_size=1).read(train=False)
    assert source.labels.tolist() == content[b"labels"]
    assert torch.equal(source.images.flatten(1), torch.from_numpy(content[b"data"]))


def test_svhn_class_ten_is_the_digit_zero(tmp_path):
    write_svhn(tmp_path)
    assert SVHN(root=str(tmp_path)).read(train=True).labels.max() == 9
    assert SVHN(root=str(tmp_path)).read(train=True).labels.min() == 0


def test_cifar100_takes_its_names_from_meta(tmp_path):
    write_cifar100(tmp_path)
    data = CIFAR100(root=str(tmp_path), val_size=1)
    data.setup("fit")
    assert data.classes[99] == "class 99"


def test_the_stated_mean_and_std_of_digits_are_those_of_the_training_images():
    pixels = Digits().read(train=True).images.double() / 255
    assert pixels.mean().item() == pytest.approx(Digits.mean[0], abs=1e-4)
    assert pixels.std().item() == pytest.approx(Digits.std[0], abs=1e-4)


def test_no_digit_is_in_two_splits():
    data = Digits()
    data.setup("fit")
    data.setup("test")
    splits = [{image.numpy().tobytes() for image in data.sources[part].images} for part in ("train", "val", "test")]
    assert sum(map(len, splits)) == len(set.union(*splits)) == 1797


def test_validation_images_depend_on_val_seed_alone():
    def held_out(**options):
        data = Digits(**options)
        data.setup("fit")
        return data.sources["val"].images

    torch.manual_seed(1)
    first = held_out()
    torch.manual_seed(2)
    assert torch.equal(first, held_out())
    assert not torch.equal(first, held_out(val_seed=1))


def test_imagenet_numbers_classes_by_the_synset_list_or_by_the_sorted_names(tmp_path):
    write_imagenet(tmp_path)
    synsets = tmp_path / "synsets.txt"
    synsets.write_text("n00 first, one\nn01 second\nn02 third\nn03 fourth, four\n")
    listed = ImageNet(root=str(tmp_path), synsets=str(synsets), crop_size=24, resize_to=32)
    assert set(listed.read(train=False).labels.tolist()) == {1, 3}
    assert listed.classes == ["first", "second", "third", "fourth"]
    unlisted = ImageNet(root=str(tmp_path), crop_size=24, resize_to=32)
    assert set(unlisted.read(train=False).labels.tolist()) == {0, 1}


def test_imagenet_refuses_a_folder_that_is_not_in_the_list(tmp_path):
    write_imagenet(tmp_path)
    (tmp_path / "synsets.txt").write_text("n01 only\n")
    with pytest.raises(ValueError, match="1 folders that are not in .*such as n03"):
        ImageNet(root=str(tmp_path), synsets=str(tmp_path / "synsets.txt")).read(train=True)


def test_whole_pictures_reach_the_augmentation_in_training_only(tmp_path):
    from datamodules import RandomResizedCrop

    write_imagenet(tmp_path)
    data = ImageNet(
        root=str(tmp_path), val_size=2, crop_size=24, resize_to=32, workers=0, augmentations=[RandomResizedCrop(16)]
    )
    data.setup("fit")
    assert data.sources["train"][0][0].shape[1] >= 40
    assert next(iter(data.train_dataloader()))[0].shape[1:] == (3, 16, 16)
    assert next(iter(data.val_dataloader()))[0].shape[1:] == (3, 24, 24)


@pytest.mark.parametrize("name", [name for name in DATA_SETS if name != "digits"])
def test_missing_files_are_named_with_folder_and_remedy(name, tmp_path):
    _, build, *_ = DATA_SETS[name]
    with pytest.raises(FileNotFoundError, match=r"looked .*data.init_args.root"):
        build(tmp_path / "nowhere").setup("fit")


def test_the_option_that_downloads_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="set data.init_args.download to true"):
        CIFAR10(root=str(tmp_path)).setup("fit")


def forbid(monkeypatch, method):
    """Act as if the operating system said no: the tests may run as root, who may read everything."""

    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, method, refuse)


@pytest.mark.parametrize(("name", "method"), [("cifar10", "open"), ("imagenet", "iterdir")])
def test_no_permission_is_said(name, method, tmp_path, monkeypatch):
    write, build, *_ = DATA_SETS[name]
    write(tmp_path)
    forbid(monkeypatch, method)
    with pytest.raises(PermissionError, match="no permission to read .*change its access rights"):
        build(tmp_path).setup("fit")


@pytest.mark.parametrize(
    ("name", "victim"),
    [
        ("cifar10", f"{CIFAR10.folder}/data_batch_3"),
        ("cifar100", f"{CIFAR100.folder}/train"),
        ("svhn", "train_32x32.mat"),
        ("mnist", "MNIST/raw/train-images-idx3-ubyte.gz"),
        ("mnist, grey", "MNIST/raw/train-images-idx3-ubyte"),
    ],
)
def test_a_truncated_file_is_named(name, victim, tmp_path):
    write, build, *_ = DATA_SETS[name]
    write(tmp_path)
    path = tmp_path / victim
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"{path.name} is truncated or damaged"):
        build(tmp_path).setup("fit")


def test_a_truncated_picture_is_named(tmp_path):
    write_imagenet(tmp_path)
    path = tmp_path / "val" / "n01" / "2.jpg"
    path.write_bytes(path.read_bytes()[:300])
    data = ImageNet(root=str(tmp_path), crop_size=24, resize_to=32, workers=0)
    data.setup("test")
    with pytest.raises(ValueError, match="2.jpg is truncated or no picture"):
        list(data.test_dataloader())


class Bomb:
    """What an attacker could hide in a pickle."""

    def __reduce__(self):
        return os.system, ("false",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    write_cifar10(tmp_path)
    write_pickle(tmp_path / CIFAR10.folder / "data_batch_1", data=Bomb(), labels=[0])
    with pytest.raises(ValueError, match="data_batch_1 is truncated or damaged .*posix.system"):
        CIFAR10(root=str(tmp_path)).setup("fit")


def test_labels_out_of_range_are_refused(tmp_path):
    write_cifar10(tmp_path)
    rows = np.zeros((2, 3072), np.uint8)
    write_pickle(tmp_path / CIFAR10.folder / "data_batch_1", data=rows, labels=[0, 10])
    with pytest.raises(ValueError, match="CIFAR10: labels run from 0 to 10, but must lie between 0 and 9"):
        CIFAR10(root=str(tmp_path), val_size=1).setup("fit")


def test_val_size_and_batch_size_are_checked():
    with pytest.raises(ValueError, match="data.val_size=1437 must be less than the 1437 training images"):
        Digits(val_size=1437).setup("fit")
    with pytest.raises(ValueError, match="data.batch_size=0"):
        Digits(batch_size=0)


def test_a_failed_download_is_one_sentence(tmp_path, monkeypatch):
    def fail(self):
        raise OSError("no route")

    monkeypatch.setattr(CIFAR10, "fetch", fail)
    with pytest.raises(ConnectionError, match=r"CIFAR10: the download into .* failed \(no route\)"):
        CIFAR10(root=str(tmp_path), download=True).prepare_data()


def test_pictures_without_an_official_split(tmp_path):
    write_imagenet(tmp_path, folders=(".",))

    def paths(train, **options):
        size = {"crop_size": 24, "resize_to": 32, "val_size": 0, "workers": 0}
        return set(ImageNet(root=str(tmp_path), train=".", **size, **options).read(train).paths)

    train, test = paths(True, test_size=3), paths(False, test_size=3)
    assert len(test) == 3
    assert len(train) == 5
    assert not train & test
    assert any(paths(False, test_size=3, test_seed=seed) != test for seed in range(1, 5))
    with pytest.raises(ValueError, match="test_size=8 must leave some of the 8 pictures"):
        paths(True, test_size=8)


def test_training_pictures_to_be_looked_at_are_shown_like_test_pictures(tmp_path):
    write_imagenet(tmp_path)
    size = {"crop_size": 24, "resize_to": 32, "val_size": 2, "workers": 0, "eval_batch_size": 4}
    data = ImageNet(root=str(tmp_path), augmentations=[RandomResizedCrop(16)], **size)
    data.setup("fit")
    images = torch.cat([batch[0] for batch in data.plain_dataloader("train", count=5)])
    assert images.shape == (5, 3, 24, 24)
    again = torch.cat([batch[0] for batch in data.plain_dataloader("train")])
    assert torch.equal(again[:5], images)
    assert len(again) == 6
    remembered = torch.cat([batch[0] for batch in data.memory_dataloader()])
    assert torch.equal(remembered, again)
    assert next(iter(data.train_dataloader()))[0].shape[-1] == 16
