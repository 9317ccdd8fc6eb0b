"""ImageNet, and any other set of pictures with one folder per class."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from datamodules.batches import keyed_generator
from datamodules.image_datamodule import ImageDataModule
from datamodules.sources import FileSource, ImageSource

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".webp"}


class ImageNet(ImageDataModule):
    """ImageNet (Russakovsky et al. 2015), or any pictures in one folder per class, read from files.

    A picture is resized so that its short side is ``resize_to`` and the centre is cut out.

    Args:
        root: folder that holds the folders ``train`` and ``val``.
        train: folder of the training pictures, relative to root.
        test: folder of the test pictures, relative to root; "." where root itself holds the class folders.
        synsets: file with one class per line, the folder's name first; a class's index is its line. Without it,
            classes are numbered by the sorted names of the folders. Folders may be missing either way with it.
        crop_size: height and width of the images in pixels.
        resize_to: length of the short side before the crop, in pixels.
        test_size: where there is no test folder: so many pictures of the training folder are test pictures instead.
        test_seed: decides which ones.
        workers: number of processes that read pictures.
    """

    num_classes = 1000
    image_size = 224
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(
        self,
        root: str = "data/imagenet",
        train: str = "train",
        test: str = "val",
        synsets: str | None = None,
        crop_size: int = 224,
        resize_to: int = 256,
        test_size: int = 0,
        test_seed: int = 0,
        workers: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(workers=workers, **kwargs)
        self.root, self.train_folder, self.test_folder = Path(root), train, test
        self.synsets = Path(synsets) if synsets else None
        self.crop_size, self.resize_to = crop_size, resize_to
        self.test_size, self.test_seed = test_size, test_seed

    def read(self, train: bool) -> FileSource:
        """The pictures of one folder, sorted by class and name, or a part of it that ``test_seed`` decides."""
        folder = self.root / (self.train_folder if train or self.test_size else self.test_folder)
        found = list(pictures_by_class(folder))
        index = self.class_index({name for name, _ in found})
        unknown = sorted({name for name, _ in found} - index.keys())
        if unknown:
            raise ValueError(
                f"{type(self).__name__}: {folder.absolute()} holds {len(unknown)} folders that are not in "
                f"{self.synsets}, such as {unknown[0]}: remove them or give the right data.init_args.synsets"
            )
        paths, labels = [path for _, path in found], [index[name] for name, _ in found]
        whole = FileSource(paths, labels, CentreCrop(self.resize_to, self.crop_size))
        return self._part(whole, train) if self.test_size else whole

    def plain_source(self, source: ImageSource) -> ImageSource:
        """Training pictures cut like test ones."""
        if not isinstance(source, FileSource):
            return source
        return FileSource(source.paths, source.labels.tolist(), CentreCrop(self.resize_to, self.crop_size))

    def _part(self, source: FileSource, train: bool) -> FileSource:
        """Of pictures that come without an official split."""
        if not 0 < self.test_size < len(source):
            raise ValueError(
                f"data.init_args.test_size={self.test_size} must leave some of the {len(source)} pictures for training"
            )
        order = torch.randperm(len(source), generator=keyed_generator(self.test_seed))
        return source.subset(order[self.test_size :] if train else order[: self.test_size].sort().values)

    def split(self, source: ImageSource) -> tuple[ImageSource, ImageSource]:
        """Training pictures stay whole where augmentations cut them; validation pictures are cut like test ones."""
        train, val = super().split(source)
        if self.augmentations and isinstance(train, FileSource):
            train.transform = None
        return train, val

    def class_index(self, names: set[str]) -> dict[str, int]:
        """Each class folder's number."""
        if self.synsets is None:
            self.classes = sorted(names)
            return {name: k for k, name in enumerate(self.classes)}
        lines = [line.strip() for line in self.synsets.read_text().splitlines() if line.strip()]
        self.classes = [line.partition(" ")[2].partition(",")[0] or line for line in lines]
        return {line.split()[0]: k for k, line in enumerate(lines)}


class CentreCrop:
    """Resize the short side, then cut the centre out.

    Args:
        resize_to: length of the short side in pixels.
        crop_size: height and width of the result in pixels.
    """

    def __init__(self, resize_to: int, crop_size: int) -> None:
        if crop_size > resize_to:
            raise ValueError(f"data.init_args.crop_size={crop_size} must not exceed resize_to={resize_to}")
        self.resize_to, self.crop_size = resize_to, crop_size

    def __call__(self, picture: Image.Image) -> Image.Image:
        scale = self.resize_to / min(picture.size)
        wide, tall = (max(self.resize_to, round(side * scale)) for side in picture.size)
        picture = picture.resize((wide, tall), Image.Resampling.BILINEAR)
        left, top = (wide - self.crop_size) // 2, (tall - self.crop_size) // 2
        return picture.crop((left, top, left + self.crop_size, top + self.crop_size))


def pictures_by_class(folder: Path) -> Iterator[tuple[str, Path]]:
    """Class folder's name and path of each picture; a missing or empty folder is named."""
    try:
        classes = sorted(path for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"looked for one folder per class in {folder.absolute()}, which does not exist: set data.init_args.root, "
            "train and test"
        ) from error
    except PermissionError as error:
        raise PermissionError(f"no permission to read {folder.absolute()}: change its access rights") from error
    found = False
    for path in classes:
        for picture in sorted(path.iterdir()):
            if picture.suffix.lower() in PICTURE_SUFFIXES:
                found = True
                yield path.name, picture
    if not found:
        raise FileNotFoundError(
            f"{folder.absolute()} holds no pictures in class folders: set data.init_args.root, train and test"
        )
