"""What `make demo` promises."""

import json
from pathlib import Path

import pytest

from main import main

QUICKSTART = str(Path(__file__).parents[1] / "configs" / "quickstart.yaml")


@pytest.mark.slow
def test_the_demos_classifier_recognises_digits():
    main(["fit", "-c", QUICKSTART, "--name=demo", "--trainer.accelerator=cpu"])
    main(["test", "-c", QUICKSTART, "--name=demo", "--ckpt_path=best", "--trainer.accelerator=cpu"])
    run = Path("runs/demo/version_0")
    record = json.loads((run / "metrics.json").read_text())
    assert record["test"]["test/acc"] >= 0.98
    assert len(record["history"]["val/acc"]) == 30
    page = (run / "report.html").read_text()
    for title in ("Results", "Curves", "Confusion matrix", "Sample predictions", "Configuration", "Environment"):
        assert f">{title}" in page
