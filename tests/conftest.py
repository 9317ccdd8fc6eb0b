"""What all tests share: one thread each, so that two test processes do not fight over two cores."""

import gc

# Before anything that tests import: typing keeps the first of equal unions, and after Union[float, int] elsewhere the
# trainer's options would read 1, a batch, as 1.0, all of them. main.py imports Lightning first, too.
import lightning  # noqa: F401
import pytest
import torch

torch.set_num_threads(1)
gc.freeze()  # imported modules stay: walking them takes a twelfth of the time of tests of the command line


def pytest_collection_modifyitems(items):
    """The slow ones first: at the end, one process would wait for another."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    """Runs and files go to the test's own folder."""
    monkeypatch.chdir(tmp_path)
