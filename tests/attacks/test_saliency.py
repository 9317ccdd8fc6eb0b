import pytest
import torch

from attacks.saliency import Pairs, Singles


def correlated(correlation, n=6, d=200):
    gain = torch.randn(n, d)
    return gain, correlation * gain + (1 - correlation**2) ** 0.5 * torch.randn(n, d)


def best_of_all_pairs(gain, harm, free):
    """The largest product over the whole table, by brute force; None where no pair is admissible."""
    places = free.nonzero().flatten()
    p, q = torch.combinations(places).unbind(1)
    gains, harms = gain[p] + gain[q], harm[p] + harm[q]
    admissible = (gains > 0) & (harms > 0)
    return (gains * harms)[admissible].max() if admissible.any() else None


@pytest.mark.parametrize("correlation", [1.0, 0.5, 0.0, -0.5, -0.99])
def test_the_best_of_all_pairs(correlation):
    gain, harm = correlated(correlation)
    free = torch.rand(6, 200) < 0.8
    chosen, any_left = Pairs().choose(gain, harm, free)
    assert any_left.all()
    for row, (p, q) in enumerate(chosen.tolist()):
        assert p != q
        assert free[row, p]
        assert free[row, q]
        expected = best_of_all_pairs(gain[row], harm[row], free[row])
        assert (gain[row, p] + gain[row, q]) * (harm[row, p] + harm[row, q]) == expected


def test_equal_components():
    gain, harm = (torch.randint(-2, 3, (40, 12)).float() for _ in range(2))
    free = torch.rand(40, 12) < 0.5
    chosen, any_left = Pairs().choose(gain, harm, free)
    for row, (p, q) in enumerate(chosen.tolist()):
        expected = best_of_all_pairs(gain[row], harm[row], free[row]) if free[row].sum() > 1 else None
        assert bool(any_left[row]) == (expected is not None)
        if expected is not None:
            assert (gain[row, p] + gain[row, q]) * (harm[row, p] + harm[row, q]) == expected
    assert not any_left.all()


def test_singles_by_hand():
    gain = torch.tensor([[1.0, 3.0, -9.0, 9.0, 2.0], [-1.0, -1.0, -1.0, -1.0, -1.0]])
    harm = torch.tensor([[5.0, 2.0, -9.0, -1.0, 9.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    free = torch.tensor([1, 1, 1, 1, 0]).bool().expand(2, 5)
    chosen, any_left = Singles().choose(gain, harm, free)
    assert chosen[0].tolist() == [1]
    assert any_left.tolist() == [True, False]


@pytest.mark.parametrize("saliency", [Singles(), Pairs()], ids=repr)
@pytest.mark.parametrize("free", [torch.zeros(1, 4).bool(), torch.tensor([[1, 0, 0, 0]]).bool()])
def test_nothing_to_choose_from(saliency, free):
    _, any_left = saliency.choose(-torch.ones(1, 4), torch.ones(1, 4), free)
    assert not any_left.any()


def test_a_single_component_is_no_pair():
    _, any_left = Pairs().choose(torch.ones(2, 1), torch.ones(2, 1), torch.ones(2, 1).bool())
    assert not any_left.any()
