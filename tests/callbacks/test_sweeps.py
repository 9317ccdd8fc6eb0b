"""Variants of a defence are made as the defence itself is."""

import pytest
import torch

from callbacks import Sweep
from defenses import BitDepth, PixelDeflection, Sequence, TotalVariation


def test_each_value_is_a_defence_of_its_own():
    sweep = Sweep(Sequence([BitDepth(3), PixelDeflection(10, 4, mode="authors")]), "parts.1.deflections", [5, 50])
    assert [one.parts[1].deflections for one in sweep.defenses.values()] == [5, 50]
    assert all(one.parts[1].window == 4 for one in sweep.defenses.values())
    assert all(type(one.parts[1].mode) is type(sweep.defense.parts[1].mode) for one in sweep.defenses.values())
    assert all(isinstance(one.parts[1].deflections, int) for one in sweep.defenses.values())


def test_what_follows_from_an_option_follows_its_value():
    still, noisy = Sweep(TotalVariation(drop=0.5), "drop", [0, 0.3]).defenses.values()
    assert (still.random, noisy.random) == (False, True)


def test_a_generator_is_kept():
    defense = PixelDeflection()
    defense.generator = torch.Generator().manual_seed(3)
    for one in Sweep(defense, "window", [1, 2]).defenses.values():
        assert one.generator.initial_seed() == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Sweep(PixelDeflection(), "deflections", [-5, 10]),
            "Sweep: PixelDeflection: deflections=-5 must be at",
        ),
        (
            lambda: Sweep(Sequence([BitDepth(3)]), "parts.0.bits", [3, 9]),
            "Sweep: BitDepth: bits=9 must lie from 1 to 8",
        ),
        (lambda: Sweep(PixelDeflection(), "window", [1, 2, 1]), "hold one twice: give each once"),
    ],
)
def test_values_that_the_defence_refuses_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
