"""What `make demo` promises."""

import json
from pathlib import Path

import pytest

from main import main

CONFIGS = Path(__file__).parents[1] / "configs"
DEMO = ["-c", str(CONFIGS / "quickstart.yaml"), "-c", str(CONFIGS / "plugins" / "repr.yaml"), "--name=demo"]


@pytest.mark.slow
def test_the_demos_classifier_recognises_digits():
    main(["fit", *DEMO, "--trainer.accelerator=cpu"])
    main(["test", *DEMO, "--ckpt_path=best", "--trainer.accelerator=cpu"])
    run = Path("runs/demo/version_0")
    record = json.loads((run / "metrics.json").read_text())
    assert record["test"]["test/acc"] >= 0.98
    assert len(record["history"]["train/acc"]) == 30
    assert len(record["history"]["val/acc"]) == 24  # not while filters are away
    page = (run / "report.html").read_text()
    for title in ("Results", "Curves", "Confusion matrix", "Sample predictions", "RePr", "Configuration", "Environment"):
        assert f">{title}" in page
