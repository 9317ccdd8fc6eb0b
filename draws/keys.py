"""Where the key of an image comes from: its own pixels and the seed, or a generator."""

import torch
from torch import Generator, Tensor

from draws.hashing import GOLDEN, mix, signed


def keys_of(images: Tensor, generator: Generator | None) -> Tensor:
    """The keys (N,) of a batch of images (N, ...).

    Without a generator a key follows from the seed of ``seed_everything`` and the image's own pixels: the same in every
    call, whatever the batch, its order or the rank, and no random state changes. A generator gives one key per image in
    their order: new ones in each call, whatever the size of the batches.
    """
    if generator is None:
        return _fingerprint(images, torch.initial_seed())
    if generator.device.type != "cpu":
        raise ValueError(
            f"generator lives on {generator.device}, where draws depend on the size of the batch: give a CPU "
            "generator, torch.Generator(), which serves images on any device"
        )
    keys = torch.randint(-(2**63), 2**63 - 1, (len(images),), generator=generator)
    return keys.to(images.device)


def _fingerprint(images: Tensor, seed: int) -> Tensor:
    """A key (N,) from the bits of each image and a seed of up to 64 bits."""
    bits = images.float().contiguous().flatten(1).view(torch.int32).long()
    places = torch.arange(1, bits.shape[1] + 1, device=bits.device) * GOLDEN
    return mix(mix(bits + places).sum(1) + signed(seed))
