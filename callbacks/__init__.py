"""Techniques and reports, plugged into training and testing."""

from callbacks.channels_last import ChannelsLast
from callbacks.dense_sparse_dense import DenseSparseDense
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

__all__ = [
    "Block",
    "Card",
    "ChannelsLast",
    "Columns",
    "DenseSparseDense",
    "Figure",
    "Gallery",
    "Listing",
    "Picture",
    "PlainProgress",
    "Predictions",
    "RePr",
    "Report",
    "Reporting",
    "Section",
    "Table",
    "Text",
]
