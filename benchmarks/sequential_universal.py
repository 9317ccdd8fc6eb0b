"""The loop of universal perturbations as one writes it down: an image at a time."""

import torch
from torch import Tensor, nn

from benchmarks.attack_peers import CRAFTING_PASSES, XI


def craft(network: nn.Module, images: Tensor) -> Tensor:
    """A perturbation (C, H, W) in the L∞ ball of XI, from images (N, C, H, W) in [0, 1].

    Moosavi-Dezfooli et al. 2017, "Universal adversarial perturbations", arXiv 1610.08401, algorithm 1, with ten steps
    of DeepFool as in the published code. The order of images is that of ``attacks.UniversalPerturbation`` under the
    same ``torch.manual_seed``, so that both give the same perturbation.
    """
    own = [predict(network, image[None]) for image in images]
    perturbation = torch.zeros_like(images[:1])
    order = torch.Generator().manual_seed(torch.initial_seed())
    for _ in range(CRAFTING_PASSES):
        for place in torch.randperm(len(images), generator=order).tolist():
            point = images[place : place + 1] + perturbation
            if predict(network, point) != own[place]:
                continue
            move, steps = deepfool(network, point)
            if steps < 9:
                perturbation = (perturbation + move).clamp(-XI, XI)
    return perturbation[0]


@torch.no_grad()
def predict(network: nn.Module, image: Tensor) -> int:
    """The class of one image (1, C, H, W)."""
    return int(network(image).argmax())


def deepfool(network: nn.Module, image: Tensor, steps: int = 10, overshoot: float = 0.02) -> tuple[Tensor, int]:
    """The move (1, C, H, W) that takes one image over the nearest boundary, and its steps."""
    total, point, classes = torch.zeros_like(image), image, list[int]()
    for step in range(steps):
        point = point.detach().requires_grad_()
        scores = network(point)[0]
        classes = classes or scores.argsort(descending=True)[:10].tolist()
        if int(scores.argmax()) != classes[0]:
            return (1 + overshoot) * total, step
        gradients = [torch.autograd.grad(scores[k], point, retain_graph=k != classes[-1])[0] for k in classes]
        best, normal, gap = torch.inf, total, 0.0
        for k, gradient in zip(classes[1:], gradients[1:]):
            difference, lead = gradient - gradients[0], abs(float((scores[k] - scores[classes[0]]).detach()))
            distance = lead / float(difference.norm())
            if distance < best:
                best, normal, gap = distance, difference, lead
        total = total + gap * normal / normal.square().sum()
        point = image + (1 + overshoot) * total
    return (1 + overshoot) * total, steps
