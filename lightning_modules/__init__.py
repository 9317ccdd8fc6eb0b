"""What is trained: a network, a criterion, an optimiser."""

from lightning_modules.classifier import Classifier

__all__ = ["Classifier"]
