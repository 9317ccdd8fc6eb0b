"""Techniques and reports, plugged into training and testing."""

from callbacks.channels_last import ChannelsLast
from callbacks.predictions import Predictions
from callbacks.progress import PlainProgress
from callbacks.report import Report
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
    "Figure",
    "Gallery",
    "Listing",
    "Picture",
    "PlainProgress",
    "Predictions",
    "Report",
    "Reporting",
    "Section",
    "Table",
    "Text",
]
