"""We change the input back."""

from defenses.bit_depth import BitDepth
from defenses.defense import Defense, Gradient, Identity, straight_through
from defenses.sequence import Sequence
from defenses.vote import Vote, vote

__all__ = ["BitDepth", "Defense", "Gradient", "Identity", "Sequence", "Vote", "straight_through", "vote"]
