"""What `make demo` promises."""

import json
from pathlib import Path

import pytest

from main import main

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = ("quickstart.yaml", "plugins/channels_last.yaml", "plugins/repr.yaml")
DEMO = [word for name in FILES for word in ("-c", str(CONFIGS / name))] + ["--name=demo"]
ATTACK = ["-c", str(CONFIGS / "plugins" / "fooling_rate.yaml"), "--trainer.callbacks.images=8"]  # the demo takes more
CORRUPT = ["-c", str(CONFIGS / "plugins" / "corruption_error.yaml"), "--trainer.callbacks.images=4"]
DEFEND = ["-c", str(CONFIGS / "plugins" / "destruction_rate_short.yaml"), "--trainer.callbacks.images=4"]


@pytest.mark.slow
def test_the_demos_classifier_recognises_digits():
    main(["fit", *DEMO, "--trainer.accelerator=cpu"])
    main(["test", *DEMO, *ATTACK, *CORRUPT, *DEFEND, "--ckpt_path=best", "--trainer.accelerator=cpu"])
    run = Path("runs/demo/version_0")
    record = json.loads((run / "metrics.json").read_text())
    assert record["test"]["test/acc"] >= 0.96
    assert record["test"]["test/deepfool/fooling_rate"] > 0.98
    assert len(record["history"]["train/acc"]) == 30
    assert len(record["history"]["val/acc"]) == 24  # not while filters are away
    page = (run / "report.html").read_text()
    titles = ("Results", "Curves", "RePr", "Confusion matrix", "Fooling rates", "Corruption errors", "Defences")
    for title in (*titles, "Sample predictions", "Configuration"):
        assert f">{title}" in page
    assert "deepfool: clean and adversarial images, and their amplified difference." in page
