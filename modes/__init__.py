"""How a network is run while it is only looked at."""

from modes.evaluating import evaluating

__all__ = ["evaluating"]
