"""When filters are away."""

import pytest

from callbacks.phases import Phase, Phases


def test_the_papers_recipe():
    phases = Phases(20, 10, 3)
    pruned = [position for position in range(100) if phases.at(position).pruned]
    assert pruned == [*range(20, 30), *range(50, 60), *range(80, 90)]
    assert phases.length == 90
    assert [phases.at(position).cycle for position in (0, 29, 30, 59, 60, 89, 90, 99)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_after_the_last_cycle_the_network_is_full():
    assert Phases(1, 1, 2).at(4) == Phase(2, False)
    assert Phases(5, 5, 0).at(7) == Phase(0, False)


@pytest.mark.parametrize("lengths", [(0, 1, 1), (1, 0, 1), (1, 1, -1)])
def test_refuses_what_is_no_phase(lengths):
    with pytest.raises(ValueError, match="phases of .* are impossible"):
        Phases(*lengths)
