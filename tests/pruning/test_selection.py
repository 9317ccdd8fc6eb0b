"""How many filters leave, and which."""

import pytest
import torch

from pruning import EachLayer, select

GENERATOR = torch.Generator().manual_seed(0)


def draw(**filters):
    return {name: torch.rand(count, dtype=torch.float64, generator=GENERATOR) for name, count in filters.items()}


def numbers(chosen):
    return {name: picked.nonzero().flatten().tolist() for name, picked in chosen.items()}


def count(chosen):
    return sum(int(picked.sum()) for picked in chosen.values())


@pytest.mark.parametrize("percent", [1, 10, 30, 33.3, 50, 80])
def test_exact_percentages(percent):
    importance = draw(a=7, b=31, c=64)
    assert count(select(importance, percent, exclude=[])) == round(percent * 102 / 100)
    assert count(select(importance, percent)) == round(percent * 95 / 100)  # of the ranked filters
    equal = {name: torch.zeros_like(values) for name, values in importance.items()}
    assert count(select(equal, percent, exclude=[])) == round(percent * 102 / 100)


def test_the_lowest_leave():
    importance = {"a": torch.tensor([5.0, 1, 4]), "b": torch.tensor([2.0, 3, 6, 0])}
    assert numbers(select(importance, 60, exclude=[])) == {"a": [1], "b": [0, 1, 3]}


def test_ties_go_by_layer_and_filter():
    importance = {"b": torch.zeros(4), "a": torch.zeros(4)}
    assert numbers(select(importance, 50, exclude=[])) == {"b": [0, 1, 2], "a": [0]}  # one of b's four has to stay


def test_the_first_is_left_out():
    importance = draw(stem=8, a=10, b=10)
    chosen = select(importance, 50)
    assert not chosen["stem"].any()
    assert count(chosen) == 10
    assert not select(importance, 50, exclude=["a", "stem"])["a"].any()


@pytest.mark.parametrize(("size", "share", "most"), [(10, 0.9, 9), (32, 0.9, 28), (2, 0.9, 1), (10, 1.0, 9)])
def test_cap_and_the_next_in_the_list(size, share, most):
    importance = {"low": torch.zeros(size), "high": torch.arange(1, 201)}
    chosen = select(importance, 50, max_per_layer=share, exclude=[])
    assert int(chosen["low"].sum()) == most
    assert count(chosen) == round((size + 200) / 2)
    assert numbers(chosen)["high"] == list(range(count(chosen) - most))


def test_each_layer_for_itself():
    importance = draw(stem=4, a=10, b=31) | {"tiny": torch.rand(1)}
    chosen = select(importance, 30, scope=EachLayer())
    assert [int(picked.sum()) for picked in chosen.values()] == [0, 3, 9, 0]
    assert numbers(chosen)["a"] == sorted(importance["a"].argsort()[:3].tolist())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"percent": 0}, "percent=0 must lie between 0 and 100"),
        ({"percent": 100}, "percent=100 must lie"),
        ({"percent": 95}, "percent=95 asks for 19 filters, .* only 18 go: lower percent or raise max_per_layer"),
        ({"percent": 30, "max_per_layer": 1.5}, "max_per_layer=1.5 must lie in"),
        ({"percent": 30, "exclude": ["c"]}, "'c', which is no ranked convolution: the nearest are"),
        ({"percent": 30, "exclude": ["a", "b"]}, "leaves no convolution to rank"),
    ],
)
def test_refusals(options, words):
    with pytest.raises(ValueError, match=words):
        select(draw(a=10, b=10), **{"exclude": []} | options)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="importance of filters of a is NaN"):
        select({"a": torch.tensor([0.0, torch.nan])}, 50, exclude=[])
