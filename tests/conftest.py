"""What all tests share: one thread each, so that two test processes do not fight over two cores."""

import pytest
import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """The slow ones first: at the end, one process would wait for another."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    """Runs and files go to the test's own folder."""
    monkeypatch.chdir(tmp_path)
