"""What a batch must be, said in one sentence before it does harm."""

from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-4  # de-normalised or resized pixels may leave [0, 1] by rounding


def check_batch(batch: Any) -> None:
    """Refuse a batch that is not ``[images, labels]`` with float images (N, C, H, W) in [0, 1]."""
    if not isinstance(batch, list) or len(batch) != 2:
        kind = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, list | tuple) else type(batch).__name__
        raise TypeError(
            f"the loader must yield a list [images, labels], so that plug-ins can replace one: got a {kind}"
        )
    images, labels = batch
    if images.dim() != 4 or not images.is_floating_point() or len(images) != len(labels):
        raise ValueError(
            f"images must be (N, C, H, W) floats with one label each, but got {tuple(images.shape)} {images.dtype} and "
            f"{len(labels)} labels"
        )
    low, high = torch.stack(images.aminmax()).tolist() if images.numel() else (0.0, 0.0)
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise ValueError(
            f"images must lie in [0, 1], but run from {low:.3g} to {high:.3g}: leave normalisation to the network, "
            "whose first layer it is"
        )


def check_label_range(labels: Tensor, num_classes: int) -> None:
    """Refuse labels outside 0 … num_classes − 1."""
    low, high = (int(bound) for bound in labels.aminmax()) if len(labels) else (0, 0)
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"labels run from {low} to {high}, but the network scores {num_classes} classes: set its num_classes to "
            "the data's"
        )


def explain_failure(batch: list[Tensor], batch_idx: int) -> ValueError:
    """Why a loss is not finite: the images, or what the network made of them."""
    broken = (~batch[0].isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
    if broken:
        return ValueError(f"batch {batch_idx} holds NaN or infinite pixels in images {broken[:8]}: mend the data")
    return ValueError(
        f"the loss is not finite at or before batch {batch_idx}, though the images are: lower the learning rate or set "
        "trainer.gradient_clip_val; the last checkpoint is kept"
    )
