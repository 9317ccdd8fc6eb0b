"""How a network is run while it is only looked at, and how exactly."""

from modes.evaluating import evaluating
from modes.full_products import full_products

__all__ = ["evaluating", "full_products"]
