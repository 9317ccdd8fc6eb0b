"""Techniques and reports, plugged into training and testing."""

from callbacks.adversarial_training import AdversarialTraining
from callbacks.baseline_network import BaselineNetwork
from callbacks.born_again import BornAgain
from callbacks.channels_last import ChannelsLast
from callbacks.corruption_baselines import AlexNet, Baseline, EarlierRun
from callbacks.corruption_error import CorruptionError
from callbacks.dense_sparse_dense import DenseSparseDense
from callbacks.destruction_rate import DestructionRate
from callbacks.distillation import Distillation
from callbacks.embedding_plot import EmbeddingPlot
from callbacks.embedding_readouts import EmbeddingReadouts
from callbacks.filter_report import FilterReport
from callbacks.fooling_rate import FoolingRate
from callbacks.free_adversarial_training import FreeAdversarialTraining
from callbacks.input_defense import InputDefense
from callbacks.orthogonality_penalty import OrthogonalityPenalty
from callbacks.prediction_table import PredictionTable
from callbacks.predictions import Predictions
from callbacks.progress import PlainProgress
from callbacks.report import Report
from callbacks.repr import RePr
from callbacks.sections import (
    Block,
    Card,
    Columns,
    Figure,
    Gallery,
    Listing,
    Picture,
    Reporting,
    Section,
    Table,
    Text,
)
from callbacks.sweeps import Sweep
from callbacks.universal_perturbation import UniversalPerturbation

__all__ = [
    "AdversarialTraining",
    "AlexNet",
    "Baseline",
    "BaselineNetwork",
    "Block",
    "BornAgain",
    "Card",
    "ChannelsLast",
    "Columns",
    "CorruptionError",
    "DenseSparseDense",
    "DestructionRate",
    "Distillation",
    "EarlierRun",
    "EmbeddingPlot",
    "EmbeddingReadouts",
    "Figure",
    "FilterReport",
    "FoolingRate",
    "FreeAdversarialTraining",
    "Gallery",
    "InputDefense",
    "Listing",
    "OrthogonalityPenalty",
    "Picture",
    "PlainProgress",
    "PredictionTable",
    "Predictions",
    "RePr",
    "Report",
    "Reporting",
    "Section",
    "Sweep",
    "Table",
    "Text",
    "UniversalPerturbation",
]
