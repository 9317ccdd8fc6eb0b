"""Directions for new filters: as far from all others as there is room."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from pruning.gram import lower_gram

TINY = 1e-8  # lengths, of parts of unit vectors, that count as nothing


class Tiers(NamedTuple):
    """How many new filters found how much room.

    Attributes:
        all: orthogonal to the survivors, to the old values of all that left, and to each other.
        survivors: orthogonal to the survivors and to each other, with the least overlap with the old values.
        none: where survivors already span everything; only as far from all others as possible.
    """

    all: int
    survivors: int
    none: int


def new_directions(filters: Tensor, picked: Tensor, generator: Generator) -> tuple[Tensor, Tiers]:
    """One new unit vector for each picked filter; never a vector twice.

    Prakash et al. 2019, arXiv 1811.07275, reinitialise filters orthogonally to the others; tiers as in ``Tiers`` where
    J filters of length D leave no room. The cost is O(D J²).

    Args:
        filters: as rows (J, D), float64 on the CPU, the picked ones with their old values.
        picked: the m filters to be replaced, bool (J,); the others are the survivors.
        generator: of the CPU; the same state gives the same vectors.

    Returns:
        Unit vectors (m, D), and how many fall into each tier.
    """
    count, room = int(picked.sum()), filters.shape[1] - len(filters)
    if room >= count and (quick := _beside(filters, count, generator)) is not None:
        return quick, Tiers(count, 0, 0)
    others = _units(filters)
    first = _outside(_basis(others), count, generator)
    second = _least_overlap(_units(filters[~picked]), _units(filters[picked]), count - len(first), generator)
    third = _crowded(torch.cat([others, first, second]), count - len(first) - len(second), generator)
    return torch.cat([first, second, third]), Tiers(len(first), len(second), len(third))


def _beside(filters: Tensor, count: int, generator: Generator) -> Tensor | None:
    """Orthonormal vectors orthogonal to independent filters, by their Gram matrix; None where they are dependent."""
    norms = filters.norm(dim=1, keepdim=True)
    if not norms.all():
        return None
    others = filters / norms
    factor, failed = torch.linalg.cholesky_ex(lower_gram(others))  # reads the lower triangle only
    drawn = _normal(count, others.shape[1], generator)
    mixture = _normal(1, count, generator)  # if anything is left along the others, then in a random mixture, too
    for _ in range(3 if not failed else 0):
        drawn = drawn - torch.cholesky_solve(others @ drawn.T, factor).T @ others
        if (others @ (mixture @ drawn).T).abs().max() <= TINY**1.25 * drawn.norm(dim=1).min():  # 1e-10
            return _orthonormal(drawn)
    return None


def _outside(basis: Tensor, count: int, generator: Generator) -> Tensor:
    """Orthonormal vectors orthogonal to an orthonormal basis (r, D), as many as there is room for."""
    drawn = _normal(min(count, basis.shape[1] - len(basis)), basis.shape[1], generator)
    for _ in range(2):  # once is not enough for float64
        drawn = drawn - drawn @ basis.T @ basis
    return _orthonormal(drawn)


def _least_overlap(survivors: Tensor, old: Tensor, count: int, generator: Generator) -> Tensor:
    """Orthonormal vectors in what the old filters span beside the survivors, with the least overlap with the old."""
    basis = _basis(survivors)
    space = _basis(old - old @ basis.T @ basis)  # (d, D)
    _, vectors = torch.linalg.eigh(space @ old.T @ old @ space.T)  # by rising overlap
    chosen = vectors.T[: min(count, len(space))] @ space
    turned: Tensor = _rotation(len(chosen), generator) @ chosen
    return turned


def _crowded(others: Tensor, count: int, generator: Generator) -> Tensor:
    """Directions in which the frame operator of the others is smallest, in rounds of at most about D / 2."""
    length, made = others.shape[1], [others[:0]]
    frame = others.T @ others
    while count > 0:
        size = min(length, max(2, min(count, (length + 1) // 2)))
        turn = _rotation(length, generator)  # else eigenvectors of equal eigenvalues would come again
        _, vectors = torch.linalg.eigh(turn @ frame @ turn.T)
        chosen = (_rotation(size, generator) @ vectors.T[:size] @ turn)[:count]
        frame = frame + chosen.T @ chosen
        made.append(chosen)
        count -= len(chosen)
    return torch.cat(made)


def _units(rows: Tensor) -> Tensor:
    """Rows of length one; rows of zeros are dropped."""
    norms: Tensor = rows.norm(dim=1, keepdim=True)
    return (rows / norms)[norms.flatten() > 0]


def _basis(rows: Tensor) -> Tensor:
    """An orthonormal basis (r, D) of what rows of about unit length span."""
    _, values, vectors = torch.linalg.svd(rows, full_matrices=False)
    basis: Tensor = vectors[values > TINY]
    return basis


def _orthonormal(rows: Tensor) -> Tensor:
    transposed: Tensor = torch.linalg.qr(rows.T).Q.T
    return transposed


def _rotation(size: int, generator: Generator) -> Tensor:
    return _orthonormal(_normal(size, size, generator))


def _normal(count: int, length: int, generator: Generator) -> Tensor:
    return torch.randn(count, length, generator=generator).double()  # drawing float64 takes twice as long
