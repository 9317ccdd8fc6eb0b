"""Other images in place of a batch's own."""

from typing import Any

from torch import Tensor


def put_images(batch: Any, images: Tensor) -> None:
    """Let a training, validation or test step see other images (N, C, H, W).

    Raises:
        TypeError: the batch can't be changed in place.
    """
    if not isinstance(batch, list):
        raise TypeError(
            f"the loader yields a {type(batch).__name__}, in which images can't be replaced: let it yield a list "
            "[images, labels]"
        )
    batch[0] = images
