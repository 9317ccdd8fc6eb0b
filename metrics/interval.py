"""How far a measured rate may lie from the true one."""


def wilson_interval(rate: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Score interval of a rate (Wilson 1927), sensible also near 0 and 1.

    Args:
        rate: share of successes in [0, 1].
        count: number of trials, at least 1.
        z: standard normal quantile; 1.96 gives 95 %.
    """
    centre = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (rate * (1 - rate) / count + z**2 / (4 * count**2)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)
