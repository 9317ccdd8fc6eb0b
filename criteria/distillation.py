"""Learning from another network's scores."""

import torch
from torch import Tensor
from torch.nn import functional as F


def distillation_loss(scores: Tensor, teacher_scores: Tensor, temperature: float) -> Tensor:
    """T² KL(teacher ‖ student) of class probabilities softened by T, the mean over the batch, a scalar.

    Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, section 2; T² keeps the size
    of the gradient when T changes. In full precision also under autocast.

    Args:
        scores: of the student (N, num_classes).
        teacher_scores: of the teacher (N, num_classes).
        temperature: T, above 0.
    """
    with torch.autocast(scores.device.type, enabled=False):
        student, teacher = ((each.float() / temperature).log_softmax(1) for each in (scores, teacher_scores))
        divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return temperature**2 * divergence
