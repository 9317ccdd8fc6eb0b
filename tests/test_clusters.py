"""The commands of docs/clusters.md, as far as one machine without a GPU can run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from main import main

PROJECT = Path(__file__).parents[1]
SBATCH = PROJECT / "docs" / "slurm" / "fit.sbatch"


@pytest.mark.slow
def test_torchrun_leaves_one_run_folder():
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    options = ["--trainer.strategy=ddp", "--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.max_epochs=1"]
    options += ["--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
    done = subprocess.run(
        [*command, PROJECT / "main.py", "fit", "-c", PROJECT / "configs" / "quickstart.yaml", "--name=two", *options],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=240,
        check=False,
    )
    run = Path("runs/two/version_0")
    assert done.stdout.count("Test it:") == 1, done.stderr
    assert [path.name for path in Path("runs/two").iterdir()] == ["version_0"]
    for name in ("config.yaml", "metrics.json", "report.html", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (run / name).is_file(), name


def test_the_slurm_script_is_sound():
    assert subprocess.run(["bash", "-n", SBATCH], check=False).returncode == 0


def test_the_slurm_scripts_options_exist(capsys):
    options = re.findall(r"--(?:name|trainer\.[\w.]+)(?= )", SBATCH.read_text())
    values = {"--name": "slurm", "--trainer.strategy": "ddp", "--trainer.logger.init_args.version": "job-7"}
    words = [f"{option}={values.get(option, 1)}" for option in options]
    assert len(words) == 5
    with pytest.raises(SystemExit) as caught:
        main(["fit", "-c", str(PROJECT / "configs" / "quickstart.yaml"), *words, "--print_config"])
    assert caught.value.code == 0
    assert "version: job-7" in capsys.readouterr().out
