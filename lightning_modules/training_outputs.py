"""What a network makes of the training images, un-augmented, for readouts that remember them."""

from typing import Any

import torch
from lightning import Trainer
from torch import Tensor, nn

from criteria.embeddings import full_precision
from modes import evaluating

FEW = 100  # images in a trial run of one step


@torch.inference_mode(False)  # what is remembered may take part in gradients of images
@torch.no_grad()
def outputs_of_training_images(trainer: Trainer, network: nn.Module, images: int = 0) -> tuple[Tensor, Tensor]:
    """Outputs (n, d) in eval mode and labels (n,), in the data's order and the same on all ranks, each image once.

    Args:
        trainer: whose datamodule has a ``memory_dataloader``; all ranks must call this.
        network: from images to outputs.
        images: so many; 0 takes all.
    """
    device = trainer.strategy.root_device
    loader = memory_loader(trainer, images)
    outputs, labels = [], []
    with evaluating(network), trainer.precision_plugin.forward_context():
        for batch in map(trainer.precision_plugin.convert_input, loader):
            outputs.append(full_precision(network(batch[0].to(device))))
            labels.append(batch[1].to(device))
    if trainer.world_size == 1:
        return torch.cat(outputs), torch.cat(labels)
    places = torch.cat(loader.sampler.draw()[0]).to(device)
    count = loader.sampler.count
    return _joined(trainer, torch.cat(outputs), places, count), _joined(trainer, torch.cat(labels), places, count)


def memory_loader(trainer: Trainer, images: int) -> Any:
    """The datamodule's loader of training images as they are."""
    make = getattr(getattr(trainer, "datamodule", None), "memory_dataloader", None)
    if make is None:
        raise ValueError(
            "classes are read off the embeddings of training images, but the Trainer has none: give it a datamodule "
            "with memory_dataloader(images), like those of datamodules/, instead of loaders"
        )
    trial = getattr(trainer, "fast_dev_run", False)  # an attribute that Lightning does not declare
    return make(FEW if trial else images)


def _joined(trainer: Trainer, own: Tensor, places: Tensor, count: int) -> Tensor:
    """The rows of all ranks, each at its place: every other rank adds zeros to it."""
    rows = torch.zeros(count, *own.shape[1:], dtype=own.dtype, device=own.device)
    rows[places] = own
    joined: Tensor = trainer.strategy.reduce(rows, reduce_op="sum")
    return joined
