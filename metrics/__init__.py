"""What results are judged by."""

from metrics.confusion import ConfusionCounts
from metrics.interval import wilson_interval
from metrics.tally import ClassificationTally

__all__ = ["ClassificationTally", "ConfusionCounts", "wilson_interval"]
