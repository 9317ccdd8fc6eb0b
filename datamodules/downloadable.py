"""Data sets with an official layout in files, which torchvision can fetch."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from datamodules.image_datamodule import ImageDataModule


class DownloadableDataModule(ImageDataModule):
    """A data set that is read from the official files under ``root``.

    Args:
        root: folder that holds the data set's own folder.
        download: fetch the official files where they are missing.
    """

    def __init__(self, root: str = "data", download: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.root, self.download = Path(root), download

    def prepare_data(self) -> None:
        """Fetch the files, if asked to, in one process only."""
        if self.download:
            try:
                self.fetch()
            except (OSError, RuntimeError) as error:
                raise ConnectionError(
                    f"{type(self).__name__}: the download into {self.root.absolute()} failed ({error}): fetch the "
                    "official files by other means and set data.init_args.download to false"
                ) from error

    @abstractmethod
    def fetch(self) -> None:
        """Download what is missing; torchvision checks the archives' sums."""
