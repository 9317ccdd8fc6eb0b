"""What a result depends on, without what it does not."""

import getpass
import json
import platform
import socket
import subprocess

import pytest
import torch

from callbacks.reporting.environment import (
    describe_code,
    describe_environment,
    describe_hardware,
    describe_versions,
    shorten_paths,
)


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_code(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("1")
    assert describe_code(file) is None  # outside git
    git(tmp_path, "init")
    assert describe_code(file) is None  # not tracked: the repository is not that of the code
    git(tmp_path, "add", "module.py")
    git(tmp_path, "commit", "-m", "first")
    clean = describe_code(file)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    file.write_text("2")
    assert describe_code(file) == {"commit": clean["commit"], "dirty": True}


def test_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_code(tmp_path / "module.py") is None


def test_versions():
    versions = describe_versions()
    assert versions["torch"] == torch.__version__
    assert versions["python"] == platform.python_version()
    assert "lightning" in versions


def test_hardware():
    hardware = describe_hardware(torch.device("cpu"))
    assert hardware["cpu"]
    assert hardware["cores"] >= 1
    assert hardware["memory_gib"] > 0
    assert hardware["gpus"] == []


def test_the_environment_is_plain_and_names_no_machine(classifier, trainer, monkeypatch):
    model = classifier()
    monkeypatch.setenv("PL_GLOBAL_SEED", "17")
    about = describe_environment(trainer(), model)
    text = json.dumps(about)
    assert about["run"]["seed"] == 17
    assert about["subject"] == {"network": "Sequential", "parameters": 1930, "data": None}
    for word in (socket.gethostname(), getpass.getuser()):
        assert f'"{word}"' not in text


@pytest.mark.parametrize(
    ("text", "shortened"),
    [
        ("root: /home/somebody/data/cifar", "root: …/cifar"),
        ("paths: [/a/b.png, '/c/d/e.png']", "paths: […/b.png, '…/e.png']"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("eps: 8/255/2", "eps: 8/255/2"),
        ("save_dir: runs/a/b", "save_dir: runs/a/b"),
        ("--data.root=/home/x/y", "--data.root=…/y"),
    ],
)
def test_paths_are_shortened(text, shortened):
    assert shorten_paths(text) == shortened
