"""Random numbers that belong to an image: neither its neighbours nor the device change them."""

from draws.hashing import GOLDEN, hashed, mix, signed
from draws.keys import keys_of, mixed_sum, weighted_sum
from draws.streams import Streams

__all__ = ["GOLDEN", "Streams", "hashed", "keys_of", "mix", "mixed_sum", "signed", "weighted_sum"]
