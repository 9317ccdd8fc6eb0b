"""Image tensors as the pictures of a web page."""

import base64
from io import BytesIO

import torch
from torch import Tensor

SMALL = 96  # pixels: smaller images keep every pixel and are enlarged by a whole factor


def to_bytes(images: Tensor) -> Tensor:
    """Images (N, C, H, W), uint8 or float in [0, 1], as RGB (N, 3, H, W) uint8 on the CPU."""
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"pictures must be (N, 1, H, W) or (N, 3, H, W), but got {tuple(images.shape)}")
    if images.is_floating_point():
        images = (images.detach().float().nan_to_num().clamp(0, 1) * 255).round()
    return images.to("cpu", torch.uint8).expand(-1, 3, -1, -1)


def tile(images: Tensor, columns: int, gap: int = 1) -> Tensor:
    """One image (3, H', W') of a batch (N, 3, H, W) uint8, row by row, on grey where there is none."""
    count, channels, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    grid = images.new_full((channels, rows * (height + gap) - gap, columns * (width + gap) - gap), 128)
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        grid[:, top : top + height, left : left + width] = image
    return grid


def encode_png(image: Tensor) -> bytes:
    """The PNG file of an image (3, H, W) uint8."""
    from PIL import Image

    stream = BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def encode_thumbnail(image: Tensor, side: int = 192) -> bytes:
    """The JPEG file of an image (3, H, W) uint8, made smaller where it is larger than ``side``."""
    from PIL import Image

    stream = BytesIO()
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    picture.thumbnail((side, side))
    picture.save(stream, format="JPEG", quality=90)
    return stream.getvalue()


def picture_tag(content: bytes, alt: str, width: int | None = None) -> str:
    """An ``<img>`` that carries its file; ``alt`` must be escaped, ``width`` is in pixels of the page."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    size = f' width="{width}"' if width else ""
    encoded = base64.b64encode(content).decode()
    return f'<img src="data:image/{kind};base64,{encoded}" alt="{alt}"{size}>'


def shown_width(side: int, wanted: int = SMALL) -> int:
    """Width on the page of an image of ``side`` pixels: a whole multiple, so that all its pixels look equal."""
    return side * max(1, round(wanted / side))


def thumbnail_tag(image: Tensor, alt: str) -> str:
    """An ``<img>`` of one image (3, H, W) uint8: every pixel of a small one, a thumbnail of a large one."""
    height, width = image.shape[-2:]
    if max(height, width) > SMALL:
        return picture_tag(encode_thumbnail(image), alt, width=min(width, 120))
    return picture_tag(encode_png(image), alt, width=shown_width(width))


def grid_tag(images: Tensor, columns: int, alt: str) -> str:
    """An ``<img>`` of a batch (N, C, H, W) in one picture."""
    grid = tile(to_bytes(images), columns)
    small = max(images.shape[-2:]) <= SMALL
    if not small:
        return picture_tag(encode_thumbnail(grid, side=1600), alt)
    scale = shown_width(images.shape[-1]) // images.shape[-1]
    return picture_tag(encode_png(grid), alt, width=grid.shape[-1] * scale)


def blend_on_white(pixels: Tensor) -> Tensor:
    """Drop the transparency of a picture (H, W, 4) uint8."""
    alpha = pixels[..., 3:].float() / 255
    return (pixels[..., :3] * alpha + 255 * (1 - alpha)).round().to(torch.uint8)
