"""What an attack refuses, in words."""

import warnings

import torch
from torch import Tensor

TOLERANCE = 1e-5  # float error of images that were normalised and brought back


def check_images(images: Tensor) -> None:
    """A batch of floating-point images."""
    if images.dim() < 2 or not images.is_floating_point():
        raise ValueError(
            f"images are {images.dtype} of shape {tuple(images.shape)}: an attack needs floating-point images "
            "(N, C, H, W) in [0, 1]; divide bytes by 255"
        )


def check_pixels(images: Tensor) -> None:
    """All pixels in [0, 1], which NaN is not."""
    if not images.numel():
        return
    low, high = (extreme.item() for extreme in images.aminmax())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        raise ValueError(
            f"images hold pixels from {low:.4g} to {high:.4g}: an attack works on [0, 1]; leave normalisation to the "
            "model's first layer"
        )


def check_classes(labels: Tensor | None, targets: Tensor | None, scores: Tensor) -> None:
    """Labels and targets name classes of the model, one per image, and differ."""
    for name, classes in (("labels", labels), ("targets", targets)):
        if classes is None:
            continue
        if classes.shape != scores.shape[:1] or classes.is_floating_point() or classes.dtype == torch.bool:
            raise ValueError(
                f"{name} are {classes.dtype} of shape {tuple(classes.shape)} for {len(scores)} images: give one class "
                "index per image"
            )
        if not 0 <= int(classes.min()) <= int(classes.max()) < scores.shape[1]:
            raise ValueError(
                f"{name} run from {int(classes.min())} to {int(classes.max())}, but the model has {scores.shape[1]} "
                f"classes: give indices from 0 to {scores.shape[1] - 1}"
            )
    if labels is not None and targets is not None and bool((labels == targets.to(labels.device)).any()):
        same = int((labels == targets.to(labels.device)).nonzero()[0])
        raise ValueError(f"targets[{same}]={int(targets[same])} is the label itself: give another class to reach")


def check_scores(scores: Tensor) -> None:
    """Scores are numbers; probabilities earn a warning, since their gradients vanish where a model is sure."""
    scores = scores.detach()
    if bool(scores.isnan().any()):
        raise ValueError("the model returned NaN for clean images: it cannot be attacked before it gives scores")
    if bool((scores >= 0).all() and ((scores.sum(1) - 1).abs() < 1e-4).all()):
        warnings.warn(
            "the model's scores look like probabilities (none below 0, rows sum to 1), which weakens every attack that "
            "uses gradients: return logits",
            stacklevel=4,
        )
