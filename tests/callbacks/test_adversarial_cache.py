"""Adversarial images in files."""

import numpy as np
import pytest
import torch
from torch import nn

from attacks import FGSM, PGD, AtSize, DeepFool
from callbacks.adversarial_cache import AdversarialCache, craft
from criteria import NearestNeighbors
from defenses import Crop, Defended, Quilting

LABELS = torch.tensor([0, 1, 2])


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 5))


@pytest.fixture
def images():
    return torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))


class Counting:
    """An attack that counts what it is asked for."""

    def __init__(self):
        self.attack, self.random, self.crafted = FGSM(eps=0.1), False, 0

    def __call__(self, model, images, labels):
        self.crafted += len(images)
        return self.attack(model, images, labels)

    def __repr__(self):
        return "Counting"


def test_what_is_kept_is_what_was_crafted(network, images, tmp_path):
    attack = Counting()
    cache = AdversarialCache(tmp_path, network)
    first = cache.craft(attack, images, LABELS)
    again = AdversarialCache(tmp_path, network).craft(attack, images.flip(0), LABELS.flip(0))
    assert attack.crafted == 3
    assert first.images.equal(craft(network, FGSM(eps=0.1), images, LABELS).images)
    assert again.images.equal(first.images.flip(0))
    assert again.costs.equal(first.costs.flip(0))
    assert first.costs[:, :2].tolist() == [[2, 1]] * 3
    assert not list(tmp_path.rglob(".*")), "no drafts are left behind"


def test_only_what_is_missing_is_crafted(network, images, tmp_path):
    attack, cache = Counting(), AdversarialCache(tmp_path, network)
    cache.craft(attack, images[:2], LABELS[:2])
    whole = cache.craft(attack, images, LABELS)
    assert attack.crafted == 3
    assert whole.images.equal(craft(network, FGSM(eps=0.1), images, LABELS).images)
    assert len(cache.craft(attack, images[:0], LABELS[:0]).images) == 0


def test_a_defence_is_part_of_the_network(network, images, tmp_path):
    banks = torch.rand(2, 50, 3, 3, 3, generator=torch.Generator().manual_seed(2))
    one, other = (AdversarialCache(tmp_path, Defended(network, Quilting(bank))).folder for bank in banks)
    assert one != other
    assert AdversarialCache(tmp_path, Defended(network, Quilting(banks[0])).bfloat16()).folder not in (one, other)
    drawing = Crop()
    drawing.generator = torch.Generator()
    with pytest.raises(ValueError, match="a defence with a generator draws anew .* leave out its generator, or cache"):
        AdversarialCache(tmp_path, Defended(network, drawing))


def test_another_network_attack_image_label_precision_or_seed_has_other_files(network, images, tmp_path):
    def file(network=network, attack=None, image=images[:1], label=LABELS[:1], precision="32-true", seed=0):
        torch.manual_seed(seed)
        return AdversarialCache(tmp_path, network, precision).files(attack or PGD(eps=0.1), image, label)[0]

    other = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 5))
    deeper = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 5), nn.ReLU())
    deeper.load_state_dict(network.state_dict())
    files = [
        file(),
        file(network=other),
        file(network=deeper),
        file(attack=PGD(eps=0.2)),
        file(attack=AtSize(PGD(eps=0.1), 0.1)),
        file(image=images[1:2]),
        file(label=LABELS[1:2]),
        file(precision="bf16-mixed"),
        file(seed=1),
    ]
    assert len(set(files)) == len(files)
    assert file() == files[0]
    assert file(attack=DeepFool(), seed=1) == file(attack=DeepFool()), "no chance, no seed"


def test_a_readout_that_remembers_other_images_has_other_files(tmp_path):
    readout, linear = NearestNeighbors(1), nn.Linear(48, 3)
    folders = []
    for embeddings in (torch.eye(3), torch.eye(3).flip(0), torch.eye(3)):
        readout.remember(embeddings, LABELS, 3)
        folders.append(AdversarialCache(tmp_path, nn.Sequential(nn.Flatten(), linear, readout)).folder)
    assert folders[0] == folders[2]
    assert folders[0] != folders[1]


def damage(file, how):
    content = file.read_bytes()
    if how == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif how == "a changed byte":
        place = content.index(b"\x93NUMPY") + 200
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "no pixels":
        np.savez(file, image=np.full((3, 4, 4), np.nan, np.float32), costs=np.zeros(3))
    elif how == "another shape":
        np.savez(file, image=np.zeros((3, 2, 2), np.float32), costs=np.zeros(3))
    elif how == "objects":
        np.savez(file, image=np.array([{}], dtype=object), costs=np.zeros(3))


@pytest.mark.parametrize("how", ["cut", "a changed byte", "empty", "no pixels", "another shape", "objects"])
def test_a_damaged_file_is_never_used(how, network, images, tmp_path):
    attack, cache = Counting(), AdversarialCache(tmp_path, network)
    first = cache.craft(attack, images, LABELS)
    damage(cache.files(attack, images, LABELS)[1], how)
    with pytest.warns(UserWarning, match="is damaged .* its image is crafted again"):
        again = cache.craft(attack, images, LABELS)
    assert attack.crafted == 4
    assert again.images.equal(first.images)
    assert cache.craft(attack, images, LABELS).images.equal(first.images), "it was mended"


def test_settings_without_words_are_refused(network, images, tmp_path):
    class Silent(FGSM):
        def __init__(self):
            super().__init__()
            self.part = object()

    with pytest.raises(ValueError, match="cannot be told from its words"):
        AdversarialCache(tmp_path, network).craft(Silent(), images, LABELS)
