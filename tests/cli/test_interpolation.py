"""What config files can compute."""

import pytest

from cli.interpolation import beside, of_data, part_of, parts_of, pixels


def test_facts_of_a_data_set():
    assert of_data("CIFAR100", "num_classes") == 100
    assert of_data("datamodules.CIFAR10", "mean") == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-3)


def test_shares_of_a_total():
    assert parts_of(150, 0.5, "0.75") == [75, 112]
    assert part_of("100", 0.2) == 20
    assert part_of(3, 0.1) == 1


def test_grey_levels():
    assert pixels("8") == 8 / 255


def test_a_file_beside_another():
    assert beside("models/resnet20.th", "resnet32.th") == "models/resnet32.th"
