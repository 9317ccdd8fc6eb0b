"""What callbacks share that let a trained network teach."""

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.loss_callback import LossCallback, classifier
from criteria import distillation_loss


class Teaching(LossCallback):
    """Mixes the training loss with the distance to a teacher's scores.

    The loss becomes (1 - a) · loss + a · T² KL(teacher ‖ student); without a teacher it stays what it is. The teacher
    sees the student's images. It is no part of the module that is trained, so neither optimisers nor DDP know of it,
    and a checkpoint's weights are the student's alone.

    Args:
        temperature: T, above 0.
        weight: a, from 0 to 1.
    """

    def __init__(self, temperature: float, weight: float) -> None:
        name = type(self).__name__
        if not temperature > 0:
            raise ValueError(f"{name}: temperature={temperature} must be above 0")
        if not 0 <= weight <= 1:
            raise ValueError(f"{name}: weight={weight} must lie between 0, which ignores the teacher, and 1")
        self.temperature, self.weight = temperature, weight
        self.teacher: nn.Module | None = None  # from images to class scores
        self.readout: nn.Module = nn.Identity()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        student = classifier(pl_module)
        self.readout = student.readout
        student.loss_terms.insert(0, self.term)  # before penalties, which a mixture must not weaken

    def term(self, loss: Tensor, images: Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
        if self.teacher is None:
            return loss
        with torch.no_grad():
            teacher_scores = self.teacher(images)
        taught = distillation_loss(self.readout(outputs), teacher_scores, self.temperature)
        return (1 - self.weight) * loss + self.weight * taught

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.teacher = None


def frozen(network: nn.Module) -> nn.Module:
    """The network as a teacher: in eval mode, and without gradients of its weights."""
    return network.eval().requires_grad_(False)
