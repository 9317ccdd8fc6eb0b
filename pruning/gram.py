"""Inner products of many vectors with one another, each computed once."""

from torch import Tensor

BLOCK = 128  # rows whose products with one another are cheaper than two passes over half of them


def lower_gram(rows: Tensor, block: int = BLOCK) -> Tensor:
    """Inner products of rows (J, D) on and below the diagonal, for little more than half the work of all: (J, J)."""
    gram = rows.new_zeros(len(rows), len(rows))
    for start in range(0, len(rows), block):
        stop = start + block
        gram[start:stop, :stop] = rows[start:stop] @ rows[:stop].T
    return gram


def gram(rows: Tensor) -> Tensor:
    """Inner products of all rows (J, D) with one another, (J, J), differentiable."""
    if len(rows) <= BLOCK:
        return rows @ rows.T
    lower = lower_gram(rows)
    return lower.tril() + lower.tril(-1).T
