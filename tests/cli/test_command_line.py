"""Commands as a user types them, run in process."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningCLI

from cli.command_line import CommandLine
from main import HELP, main

PROJECT = Path(__file__).parents[2]
CONFIGS = PROJECT / "configs"
QUICK = [
    "-c",
    str(CONFIGS / "data" / "digits.yaml"),
    "-c",
    str(CONFIGS / "models" / "vanilla.yaml"),
    "--trainer.accelerator=cpu",
    "--trainer.limit_train_batches=2",
    "--trainer.max_epochs=1",
]


def fit(*extra):
    main(["fit", *QUICK, *extra])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which one run stands."""
    folder, before = tmp_path_factory.mktemp("trained"), Path.cwd()
    os.chdir(folder)
    try:
        fit("--name=first")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def with_run(trained):
    """A copy of it, which the test may change."""
    shutil.copytree(trained, Path.cwd(), dirs_exist_ok=True)
    return Path("runs/first/version_0")


def last_epoch(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"]


def test_fit_leaves_one_folder_and_says_how_to_test(capsys):
    fit()
    run = Path("runs/digits-vanillaconvnet/version_0")
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    for name in ("config.yaml", "metrics.json", "report.html"):
        assert (run / name).is_file(), name
    output = capsys.readouterr().out
    assert f"Checkpoint: {run}/checkpoints/best.ckpt" in output
    assert f"Test it:    python main.py test -c {run}/config.yaml --ckpt_path best" in output


def test_the_printed_command_tests_in_the_same_folder(with_run, capsys):
    main(["test", "-c", str(with_run / "config.yaml"), "--ckpt_path", "best"])
    output = capsys.readouterr().out
    assert "test/acc" in output
    assert "test/top5" not in output  # Lightning's table of all metrics is for those who ask
    assert (with_run / "test.yaml").is_file()
    assert len(list(Path("runs/first").iterdir())) == 1


def test_all_metrics_are_printed_on_demand(with_run, capsys):
    main(["test", "-c", str(with_run / "config.yaml"), "--ckpt_path", "best", "--verbose", "true"])
    assert "test/top5" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["validate", "predict"])
def test_other_commands_take_the_run_too(with_run, command):
    main([command, "-c", str(with_run / "config.yaml"), "--ckpt_path", "last"])
    assert (with_run / "predictions.csv").is_file() == (command == "predict")


def test_repeating_a_run_makes_a_new_version_with_equal_weights(with_run):
    main(["fit", "-c", str(with_run / "config.yaml")])
    weights = [
        torch.load(f"runs/first/version_{k}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for k in (0, 1)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_last_resumes_in_the_same_folder(with_run):
    fit("--name=first", "--trainer.max_epochs=3", "--ckpt_path=last")
    assert last_epoch(with_run) == 2
    assert len(list(Path("runs/first").iterdir())) == 1


def test_the_dumped_configuration_is_lightnings(monkeypatch):
    own, dumps = CommandLine._dump_config, []

    def both(self):
        for dump in (own, LightningCLI._dump_config):
            self.__dict__.pop("config_dump", None)
            dump(self)
            dumps.append(self.config_dump)

    monkeypatch.setattr(CommandLine, "_dump_config", both)
    fit("-c", str(CONFIGS / "plugins" / "repr.yaml"), "--trainer.fast_dev_run=true")
    assert dumps[0] == dumps[1]
    assert dumps[0]["model"]["class_path"].endswith("Classifier")


def test_best_and_last_mean_the_newest_run_of_that_name(with_run):
    fit("--name=second")
    time.sleep(0.01)
    os.utime(with_run / "checkpoints" / "last.ckpt")
    fit("--name=second", "--trainer.max_epochs=2", "--ckpt_path=last")
    assert last_epoch(Path("runs/second/version_0")) == 1
    assert last_epoch(with_run) == 0


def test_the_command_line_beats_the_checkpoint(with_run):
    repeat = ["fit", "-c", str(with_run / "config.yaml"), "--ckpt_path", "last"]
    main([*repeat, "--trainer.max_epochs=2", "--model.schedule_by_step=true"])
    config = yaml.safe_load((with_run / "config.yaml").read_text())
    assert config["model"]["init_args"]["schedule_by_step"] is True


def test_weights_start_a_fresh_run(with_run):
    weights = str(with_run / "checkpoints" / "best.ckpt")
    main(["test", *QUICK[:4], f"--model.network.weights={weights}", "--trainer.accelerator=cpu"])


def test_fragments_append_their_callbacks(capsys):
    fragments = [f"-c={CONFIGS / 'plugins' / name}.yaml" for name in ("early_stopping", "learning_rate")]
    with pytest.raises(SystemExit):
        fit(*fragments, "--print_config")
    callbacks = yaml.safe_load(capsys.readouterr().out)["trainer"]["callbacks"]
    names = [callback["class_path"].rpartition(".")[2] for callback in callbacks]
    assert names[-2:] == ["EarlyStopping", "LearningRateMonitor"]
    assert {"Report", "Predictions", "ModelCheckpoint"} <= set(names)


def test_facts_of_the_data_follow_the_data(capsys):
    with pytest.raises(SystemExit):
        fit("--data=CIFAR100", "--print_config")
    network = yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["network"]["init_args"]
    assert network["num_classes"] == 100
    assert network["mean"][0] == 0.5071


def test_schedules_follow_the_number_of_epochs(capsys):
    with pytest.raises(SystemExit):
        main(
            [
                "fit",
                *QUICK[:2],
                "-c",
                str(CONFIGS / "models/resnet20.yaml"),
                "--trainer.max_epochs=40",
                "--print_config",
            ]
        )
    scheduler = yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["lr_scheduler"]
    assert scheduler["init_args"]["milestones"] == [20, 30]


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_an_untrained_network_is_refused_unless_asked_for(command):
    with pytest.raises(ValueError, match=f"{command} needs trained weights: give --ckpt_path"):
        main([command, *QUICK[:4]])
    main([command, *QUICK[:4], "--trainer.accelerator=cpu", "--untrained=true"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--data=CIFARR10"], "there is no class or file CIFARR10; did you mean CIFAR10"),
        (["--trainer.callbacks+=Reprt"], "there is no class or file Reprt; did you mean Report"),
        (["--model.network.depht=4"], "networks.VanillaConvNet has no option depht; did you mean depth"),
        (["--data.batchsize=4"], "datamodules.Digits has no option batchsize; did you mean batch_size"),
        (["--data.evalbatch_size=4"], "datamodules.Digits has no option evalbatch_size; did you mean eval_batch_size"),
        (["--trainer.max_epoch_count=4"], "there is no option trainer.max_epoch_count; did you mean"),
        (["--trainer.max_epochs=four"], "option trainer.max_epochs takes int, but got four"),
        (["-c", "nowhere.yaml"], "there is no file nowhere.yaml"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(words, sentence, capsys):
    with pytest.raises(SystemExit) as caught:
        fit(*words)
    assert caught.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"error: {sentence}")
    assert "\n" not in error


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("trainer: {max_epoch: 3}", "there is no option trainer.max_epoch; did you mean trainer.max_epochs"),
        ("trainr: {max_epochs: 3}", "there is no option trainr.max_epochs; did you mean trainer.max_epochs"),
        (
            "trainer: {callbacks+: [{class_path: Predictions, init_args: {sample: 3}}]}",
            "callbacks.Predictions has no option sample; did you mean samples",
        ),
        (
            "model: {init_args: {network: {class_path: CifarResNett}}}",
            "there is no class or file CifarResNett; did you mean CifarResNet",
        ),
        (
            "model: {init_args: {network: {class_path: networks.CifarResNett}}}",
            "networks.CifarResNett cannot be imported; did you mean CifarResNet",
        ),
    ],
)
def test_mistakes_in_a_config_are_one_sentence(text, sentence, capsys):
    Path("wrong.yaml").write_text(text)
    with pytest.raises(SystemExit) as caught:
        fit("-c", "wrong.yaml")
    assert caught.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"error: {sentence}")
    assert "\n" not in error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--ckpt_path=best"], "there is no best.ckpt below runs"),
        (["--ckpt_path=nowhere.ckpt"], "there is no checkpoint nowhere.ckpt"),
        (["--data=CIFAR10"], "CIFAR10: looked in .*cifar-10-batches-py for data_batch_1"),
        (["--model.network.depth=0"], "depth"),
    ],
)
def test_missing_things_are_named(words, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        fit(*words)


def test_a_callback_that_refuses_its_options_says_why_and_no_more():
    with pytest.raises(ValueError, match=r"^OrthogonalityPenalty: weight=-1.0 must be 0 or more$"):
        fit("--trainer.callbacks+=OrthogonalityPenalty", "--trainer.callbacks.weight=-1")


def test_a_fragment_given_twice_is_refused():
    fragment = f"-c={CONFIGS / 'plugins' / 'early_stopping.yaml'}"
    with pytest.raises(ValueError, match="EarlyStopping is switched on twice with the same options"):
        fit(fragment, fragment)


def test_options_of_a_class_are_shown(capsys):
    for words in (["--model.help=Classifier"], ["--trainer.callbacks.help=Predictions"], ["--data.help=CIFAR10"]):
        with pytest.raises(SystemExit) as caught:
            main(["fit", *words])
        assert caught.value.code == 0
    shown = capsys.readouterr().out
    for words in ("cross-entropy by default", "samples", "images per step and process", "fetch the official files"):
        assert words in " ".join(shown.split())


def test_a_truncated_checkpoint_is_named(with_run):
    path = with_run / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="last.ckpt is truncated or no checkpoint"):
        fit("--ckpt_path=last", "--name=first")


def test_a_checkpoint_of_another_architecture_is_refused(with_run):
    with pytest.raises(ValueError, match="the checkpoint does not fit this model"):
        fit(f"--ckpt_path={with_run}/checkpoints/last.ckpt", "--model.network.depth=2", "--trainer.max_epochs=2")


def test_a_failed_command_ends_with_a_sentence_and_a_non_zero_status():
    failed = subprocess.run(
        [sys.executable, PROJECT / "main.py", "test", *QUICK[:4]], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert re.fullmatch(r"error: test needs trained weights: .*\n", failed.stderr)


def test_help_and_plugins_need_no_heavy_import():
    for words in ([], ["--help"], ["plugins"]):
        done = subprocess.run([sys.executable, "-X", "importtime", PROJECT / "main.py", *words], capture_output=True)
        assert done.returncode == 0
        assert b"torch" not in done.stderr


def test_plugins_lists_every_fragment(capsys):
    main(["plugins"])
    listed = capsys.readouterr().out
    for fragment in (CONFIGS / "plugins").glob("*.yaml"):
        assert f"-c configs/plugins/{fragment.name}" in listed
    main([])
    assert HELP in capsys.readouterr().out


def test_the_readme_lists_what_plugins_lists(capsys):
    main(["plugins", "--markdown"])
    assert capsys.readouterr().out in (PROJECT / "README.md").read_text(), "put it between the README's marks"


def test_a_full_disk_keeps_the_last_good_checkpoint(with_run, monkeypatch):
    from cli import checkpoint_io

    def no_space(checkpoint, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    before = (with_run / "checkpoints" / "last.ckpt").read_bytes()
    monkeypatch.setattr(checkpoint_io, "write_durably", no_space)
    with pytest.raises(
        OSError, match="could not be written .*No space left on device.*the last good checkpoint is kept"
    ):
        fit("--name=first", "--trainer.max_epochs=2", "--ckpt_path=last")
    assert (with_run / "checkpoints" / "last.ckpt").read_bytes() == before
    assert not list(with_run.rglob("*.part"))


@pytest.mark.slow
def test_ddp_in_a_subprocess_and_its_test():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    two = ["--trainer.strategy=ddp", "--trainer.devices=2", "--trainer.accelerator=cpu"]
    words = [sys.executable, PROJECT / "main.py", "fit", *QUICK, *two, "--name=ddp"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=240, check=False)
    # Not the exit status: gloo may abort a process that has done all its work and is about to leave.
    assert done.stdout.count("Test it:") == 1, done.stdout + done.stderr
    assert [path.name for path in Path("runs/ddp").iterdir()] == ["version_0"]
    fork = ["--trainer.strategy=ddp_fork", "--trainer.devices=2"]
    main(["test", "-c", "runs/ddp/version_0/config.yaml", "--ckpt_path=best", *fork])
    assert "test/acc" in json.loads(Path("runs/ddp/version_0/metrics.json").read_text())["test"]


def test_interrupted_from_the_keyboard_keeps_what_was_done():
    process = subprocess.Popen(
        [sys.executable, PROJECT / "main.py", "fit", *QUICK[:-2], "--trainer.max_epochs=2000", "--name=stopped"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored by what runs in the background
    )
    last = Path("runs/stopped/version_0/checkpoints/last.ckpt")
    deadline = time.time() + 120
    while not last.is_file() and time.time() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert "epoch" in torch.load(last, weights_only=True)
