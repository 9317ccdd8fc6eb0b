"""What all tests share: one thread each, so that two test processes do not fight over two cores."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    """Runs and files go to the test's own folder."""
    monkeypatch.chdir(tmp_path)
