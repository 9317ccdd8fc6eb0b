"""What results are judged by."""

from metrics.adversarial_radius import AdversarialRadius
from metrics.confusion import ConfusionCounts
from metrics.corruption_error import CorruptionError, corruption_errors, relative_corruption_errors
from metrics.destruction_rate import DestructionRate
from metrics.fooling_rate import FoolingRate
from metrics.interval import wilson_interval
from metrics.perturbation_size import PerturbationSize, rmse
from metrics.tally import ClassificationTally
from metrics.transfer_matrix import TransferMatrix

__all__ = [
    "AdversarialRadius",
    "ClassificationTally",
    "ConfusionCounts",
    "CorruptionError",
    "DestructionRate",
    "FoolingRate",
    "PerturbationSize",
    "TransferMatrix",
    "corruption_errors",
    "relative_corruption_errors",
    "rmse",
    "wilson_interval",
]
