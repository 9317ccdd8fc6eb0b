"""New filters: orthogonal where there is room, spread out where there is none, and never the same twice."""

import pytest
import torch

from pruning import new_directions


def filters_and_picked(filters, length, replaced, seed=0, rank=None):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(filters, length, dtype=torch.float64, generator=generator)
    if rank is not None:  # filters that depend on each other
        drawn = torch.randn(filters, rank, dtype=torch.float64, generator=generator) @ drawn[:1].new_tensor(
            torch.randn(rank, length, dtype=torch.float64, generator=generator).tolist()
        )
    picked = torch.zeros(filters, dtype=torch.bool)
    picked[torch.randperm(filters, generator=generator)[:replaced]] = True
    return drawn, picked


def cosines(a, b):
    return ((a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T).abs()


def between(a):
    return cosines(a, a).fill_diagonal_(0)


# Filters J, length D, replaced m, rank of the filters (None: full), and how many fall into each tier.
ROOM = {
    "C3, second layer": (32, 288, 10, None, (10, 0, 0)),
    "wide": (64, 147, 60, None, (60, 0, 0)),
    "just enough": (20, 30, 10, None, (10, 0, 0)),
    "one": (2, 2, 1, 1, (1, 0, 0)),
    "room by dependence": (40, 50, 20, 25, (20, 0, 0)),
    "some beside the survivors": (20, 25, 10, None, (5, 5, 0)),
    "all beside the survivors": (16, 16, 5, None, (0, 5, 0)),
    "C3, first layer": (32, 27, 9, None, (0, 4, 5)),
    "C3, first layer, nearly all": (32, 27, 28, None, (0, 23, 5)),
    "no room at all": (64, 16, 19, None, (0, 0, 19)),
    "many more than dimensions": (256, 64, 77, None, (0, 0, 77)),
    "more new ones than dimensions": (40, 8, 30, None, (0, 0, 30)),
    "two dimensions": (9, 2, 5, None, (0, 0, 5)),
    "copies": (12, 6, 4, 1, (4, 0, 0)),
}


@pytest.mark.parametrize(("filters", "length", "replaced", "rank", "tiers"), ROOM.values(), ids=ROOM)
def test_room(filters, length, replaced, rank, tiers):
    old, picked = filters_and_picked(filters, length, replaced, rank=rank)
    new, found = new_directions(old, picked, torch.Generator().manual_seed(1))
    assert found == tiers
    assert new.shape == (replaced, length)
    torch.testing.assert_close(new.norm(dim=1), torch.ones(replaced, dtype=torch.float64))
    first, orthogonal = new[: tiers[0]], new[: tiers[0] + tiers[1]]
    if len(first):
        assert cosines(first, old).max() < 1e-6
    if len(orthogonal):
        assert cosines(orthogonal, old[~picked]).max() < 1e-6
        assert between(orthogonal).max() < 1e-6
    assert torch.maximum(between(new).amax(1), cosines(new, old).amax(1)).max() < 1 - 1e-6  # never twice


def test_no_room_is_used_well():
    """Tier 3 lies closer to orthogonal than chance does, and leaves the frame tighter."""
    old, picked = filters_and_picked(64, 16, 19)
    new, _ = new_directions(old, picked, torch.Generator().manual_seed(1))
    survivors = old[~picked] / old[~picked].norm(dim=1, keepdim=True)
    drawn = torch.randn(19, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    drawn /= drawn.norm(dim=1, keepdim=True)
    assert cosines(new, survivors).square().sum() < cosines(drawn, survivors).square().sum()
    assert torch.linalg.cond(torch.cat([survivors, new])) < torch.linalg.cond(torch.cat([survivors, drawn]))


def test_tier_two_has_the_least_overlap_with_old_values():
    old, picked = filters_and_picked(20, 25, 10)
    new, _ = new_directions(old, picked, torch.Generator().manual_seed(1))
    units = old[picked] / old[picked].norm(dim=1, keepdim=True)
    survivors = torch.linalg.qr(old[~picked].T).Q.T
    space = units - units @ survivors.T @ survivors
    least = torch.linalg.svdvals(space).square().sort().values[:5].sum()
    torch.testing.assert_close(cosines(new[5:], units).square().sum(), least)


def test_equal_eigenvalues_don_t_bring_the_same_vectors_again():
    old = torch.eye(3, dtype=torch.float64).repeat(4, 1)  # a tight frame: every direction is as good as any other
    new, tiers = new_directions(old, torch.arange(12) > 5, torch.Generator().manual_seed(1))
    assert tiers == (0, 0, 6)
    assert max(between(new).max(), cosines(new, old).max()) < 1 - 1e-4


@pytest.mark.parametrize("length", [1, 5, 40])
def test_dead_filters_and_single_weights_don_t_raise(length):
    old, picked = filters_and_picked(8, length, 3)
    old[[0, 1, 2]] = 0
    new, tiers = new_directions(old, picked, torch.Generator().manual_seed(1))
    assert sum(tiers) == 3
    assert new.isfinite().all()
    new, _ = new_directions(torch.zeros(4, length, dtype=torch.float64), picked[:4], torch.Generator().manual_seed(1))
    assert new.isfinite().all()


def test_deterministic_by_generator():
    for shape in [(32, 288, 10), (32, 27, 9), (64, 16, 19)]:
        old, picked = filters_and_picked(*shape)
        first, again, other = (new_directions(old, picked, torch.Generator().manual_seed(s))[0] for s in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.allclose(first, other)
