"""Leaves out what upstream libraries say at every start and users can do nothing about."""

import logging
import warnings

NOISE = ("💡 Tip", "TPU available", "GPU available: False", "`weights_only` was not set", "`Trainer.fit` stopped")


def silence_noise() -> None:
    """Filter log lines that advertise or repeat the obvious, and warnings about upstream's own code."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(is_news)
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
    warnings.filterwarnings("ignore", message="torch.distributed.nn.functional.all_gather is deprecated")
    warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated")
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")


def is_news(record: logging.LogRecord) -> bool:
    """Whether a log line is worth a user's time."""
    return not record.getMessage().startswith(NOISE)
