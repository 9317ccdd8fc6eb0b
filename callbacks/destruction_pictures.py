"""What defended images look like."""

from dataclasses import dataclass
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from callbacks.defense_trials import Bench, DefenseTrial
from callbacks.fooling_sections import amplification, amplified
from callbacks.predictions import class_names
from callbacks.sections import Block, Gallery, Text
from callbacks.trials import Pictures
from defenses import Defense


@dataclass(frozen=True)
class Restored:
    """Attacked images behind a defence.

    Attributes:
        images: (n, C, H, W).
        predictions: (n,).
        maps: (n, C, H, W) in grey, of the attacked images; None for a defence without a map.
    """

    images: Tensor
    predictions: Tensor
    maps: Tensor | None


def gallery(trial: DefenseTrial, bench: Bench, trainer: Trainer) -> list[Block]:
    """Clean, adversarial and defended images that were fooled, their differences, and the map that steered."""
    pictures = trial.pictures
    if pictures is None or not len(pictures):
        return [Text(f"{trial.name} fooled no image.")]
    name, defense = shown(bench)
    restored = restore(pictures, defense, bench.model)
    strips, titles = laid_out(pictures, restored, trainer)
    map_words = "" if restored.maps is None else ", and the map that steered it"
    caption = (
        f"{trial.name}: clean and adversarial image, amplified difference; behind {name}, amplified change{map_words}."
    )
    return [Gallery(strips, titles, caption, together=len(titles) // len(pictures))]


def laid_out(pictures: Pictures, restored: Restored, trainer: Trainer) -> tuple[Tensor, list[str]]:
    """The pictures of one image after the other, with a title for each."""
    largest = max(int(part.max()) for part in (pictures.before, pictures.after, restored.predictions))
    classes = class_names(trainer, largest + 1)
    changed = Pictures(pictures.attacked, restored.images, pictures.after, restored.predictions)
    factors = amplification(pictures), amplification(changed)
    columns = [
        (pictures.clean, [classes[k] for k in pictures.before.tolist()]),
        (pictures.attacked, [classes[k] for k in pictures.after.tolist()]),
        (amplified(pictures, factors[0]), [f"× {factors[0]:.3g}"] * len(pictures)),
        (restored.images, [classes[k] for k in restored.predictions.tolist()]),
        (amplified(changed, factors[1]), [f"× {factors[1]:.3g}"] * len(pictures)),
    ]
    if restored.maps is not None:
        columns.append((restored.maps, ["map"] * len(pictures)))
    strips = torch.stack([images for images, _ in columns], dim=1).flatten(0, 1)
    return strips, [title for row in zip(*(titles for _, titles in columns)) for title in row]


@torch.no_grad()
def restore(pictures: Pictures, defense: Defense, model: Any) -> Restored:
    """The attacked images behind a defence, on the CPU."""
    attacked = pictures.attacked.to(model.device)
    images = defense(attacked)
    steering = map_of(defense)
    maps = None if steering is None else steering(attacked).unsqueeze(1).expand_as(attacked).cpu()
    return Restored(images.cpu(), model(images).argmax(1).cpu(), maps)


def shown(bench: Bench) -> tuple[str, Defense]:
    """The defence that is shown: the last one with a map, or the last one."""
    pairs = list(bench.defenses.items())
    return next((pair for pair in reversed(pairs) if map_of(pair[1]) is not None), pairs[-1])


def map_of(defense: Defense) -> Any:
    """The activation map that steers a defence, or a part of it; None where there is none."""
    found = (getattr(part, "activation_map", None) for part in defense.modules())
    return next((one for one in found if one is not None), None)
