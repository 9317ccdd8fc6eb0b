"""What training minimises; nearest neighbours."""

from criteria.distillation import distillation_loss
from criteria.loss_terms import LossTerm

__all__ = ["LossTerm", "distillation_loss"]
