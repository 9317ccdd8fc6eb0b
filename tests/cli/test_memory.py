"""Freed memory stays with the process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli import memory

FAULTS = """
import resource, torch
from cli.memory import keep_freed_memory
kept = keep_freed_memory()
torch.set_num_threads(1)
faults = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        maps = [torch.ones(2**20) for _ in range(12)]  # 48 MiB, more than glibc keeps by itself
        del maps
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(kept, faults[-1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc's allocator is asked")
def test_a_warm_process_asks_for_no_pages():
    environment = {name: value for name, value in os.environ.items() if name not in memory.SETTINGS}
    root = Path(__file__).parents[2]
    words = [sys.executable, "-c", FAULTS]
    done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    if kept != "True":
        pytest.skip("this C library has no mallopt")
    assert int(faults) < 4096  # of 20 x 12,288 pages


@pytest.mark.parametrize("name", memory.SETTINGS)
def test_settings_of_the_environment_win(name, monkeypatch):
    monkeypatch.setenv(name, "1")
    assert not memory.keep_freed_memory()


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert not memory.keep_freed_memory()
