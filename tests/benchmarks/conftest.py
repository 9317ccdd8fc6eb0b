"""A tiny table in the test's folder, and a stand-in for main.py."""

import json
from pathlib import Path

import pytest
import yaml

TINY = {
    "title": "Table 1: a tiny one",
    "paper": "Nobody 1999",
    "data": "Digits",
    "columns": [{"name": "error", "metric": "test/acc", "error": True, "percent": True}],
    "configs": ["configs/data/digits.yaml", "configs/models/vanilla.yaml"],
    "overrides": {"trainer.max_epochs": 9},
    "scales": {
        "small": {"note": "one epoch", "seeds": [0, 1], "overrides": {"trainer.max_epochs": 1}},
        "full": {"note": "the paper's recipe", "seeds": [0]},
    },
    "rows": [
        {"name": "plain", "paper": 8.75},
        {
            "name": "smooth, ε = 0.1",
            "paper": None,
            "configs": ["configs/plugins/label_smoothing.yaml"],
            "note": "smoothed",
        },
    ],
}


@pytest.fixture
def tiny():
    """The table's content, which a test may change."""
    return json.loads(json.dumps(TINY))


@pytest.fixture
def write(tmp_path):
    """Writes a table's content into configs/papers/some_paper/table_1.yaml of the test's folder."""

    def write_table(content):
        path = tmp_path / "papers" / "some_paper" / "table_1.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return write_table


class StandIn:
    """Leaves behind what main.py does; its accuracy is 0.9 with seed 0, 0.8 with seed 1, and 0.05 less in the end.

    ``calls`` holds (stage, row and seed, whether it started from a checkpoint); ``obstacles`` maps (stage, row and
    seed) to an exception to raise or to an exit status.
    """

    def __init__(self):
        self.calls, self.obstacles, self.metrics = [], {}, {}

    def __call__(self, words, log):
        stage, cell = words[0], Path(words[words.index("--name") + 1]).name
        self.calls.append((stage, cell, "--ckpt_path" in words))
        with log.open("a") as file:
            file.write(f"{stage} {cell}\nerror: out of luck\n\n")
        obstacle = self.obstacles.pop((stage, cell), 0)
        accuracy = 0.9 - 0.1 * int(cell[-1]) - 0.05 * words[-1].endswith("last.ckpt")
        self.leave(log.parent, stage, accuracy, "interrupted" if obstacle else "finished")
        if isinstance(obstacle, BaseException):
            raise obstacle
        return obstacle

    def leave(self, folder, stage, accuracy, status):
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / "last.ckpt").touch()
        path = folder / "metrics.json"
        record = json.loads(path.read_text()) if path.is_file() else {"status": {}, "environment": {}}
        record["status"][stage] = status
        record["environment"][stage] = {
            "date": "2026-01-02T03:04:05+00:00",
            "seconds": 60.0,
            "epochs": 1,
            "code": {"commit": "abcdef0123456789", "dirty": False},
            "hardware": {"cpu": "a chip", "cores": 2, "gpus": []},
            "versions": {"python": "3", "torch": "2"},
        }
        if stage == "test":
            record["test"] = {"test/acc": accuracy, **self.metrics}
        path.write_text(json.dumps(record))


@pytest.fixture
def stand_in():
    return StandIn()
