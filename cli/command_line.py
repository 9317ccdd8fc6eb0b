"""LightningCLI with one folder per run, sentences for mistakes, and the command line above the checkpoint."""

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import yaml  # type: ignore[import-untyped]
from jsonargparse import set_parsing_settings
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Callback, ProgressBar, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from callbacks import PlainProgress, PredictionTable
from cli import interpolation
from cli.checkpoint_io import AtomicCheckpointIO
from cli.mistakes import explain, explain_refusal
from cli.plugins import CONFIGS
from cli.quiet import silence_noise
from cli.run_folder import find_checkpoint, folder_of

# Lightning calls functions that jsonargparse 4.49 and later warn about (Lightning issue 21900).
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

TENSORBOARD = "lightning.pytorch.loggers.TensorBoardLogger"


class Parser(LightningArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the sentence and exit with status 2; parsers of single classes report to the main one."""
        if not self.exit_on_error:
            super().error(message, ex)
        parser = getattr(ex, "subcommand_parser", None) or self
        options = [name.lstrip("-") for name in parser._option_string_actions]
        self.exit(2, f"error: {explain(message, options)}\n")
        raise SystemExit(2)


class SaveConfig(SaveConfigCallback):
    """Writes the whole configuration into the run's folder: ``config.yaml`` for fit, ``<command>.yaml`` for others."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """A version is not saved: repeating a run makes a new one."""
        if stage != TrainerFn.FITTING:
            self.config_filename = f"{TrainerFn(stage).value}.yaml"
        if hasattr(self.config.trainer.logger, "init_args"):
            self.config.trainer.logger.init_args.version = None
        super().setup(trainer, pl_module, stage)


class CommandLine(LightningCLI):
    """``python main.py fit|validate|test|predict``.

    Args:
        args: the words after ``main.py``.
    """

    def __init__(self, args: list[str]) -> None:
        self.command = next((word for word in args if word in super(CommandLine, self).subcommands()), None)
        silence_noise()
        set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
        interpolation.register()
        parser: dict[str, Any] = {"parser_mode": "omegaconf+"}
        defaults = {**parser, "default_config_files": [str(CONFIGS / "trainer.yaml")]}
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            save_config_callback=SaveConfig,
            save_config_kwargs={"overwrite": True},
            parser_class=Parser,
            parser_kwargs={**parser, **{command: dict(defaults) for command in self.subcommands()}},
            args=None if args == sys.argv[1:] else args,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Only the one that was asked for, since building the parser of each takes a second."""
        known = super().subcommands()
        return {self.command: known[self.command]} if self.command else known

    def setup_parser(self, *args: Any, **kwargs: Any) -> None:
        """Lightning's table of all metrics, hundreds with some plug-ins, is for those who ask; the report sums up."""
        super().setup_parser(*args, **kwargs)
        for command in {"test", "validate"} & self._subcommand_parsers.keys():
            self._subcommand_parsers[command].set_defaults({"verbose": False})

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Our own options."""
        parser.add_argument("--name", type=str | None, default=None, help="folder of the run, below runs/")
        parser.add_argument(
            "--untrained", type=bool, default=False, help="validate, test or predict without trained weights"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Also turn ``best`` and ``last`` into files, and choose the run's folder."""
        super().parse_arguments(parser, args)
        options = self.config[self.config.subcommand]
        if options.ckpt_path in ("best", "last"):
            options.ckpt_path = str(find_checkpoint(options.ckpt_path, config_files(options), runs_folder(options)))
        refuse_untrained(self.config.subcommand, options)
        choose_run_folder(options)

    def _parse_ckpt_path(self) -> None:
        """The command line has the last word: Lightning would let the checkpoint's options win (issue 20310)."""

    def _dump_config(self) -> None:
        """What checkpoints keep of the configuration, which has just been validated: to do it again takes as long."""
        if not hasattr(self, "config_dump"):
            shown = {"skip_link_targets": False, "skip_none": False, "format": "yaml"}  # Lightning's own choice
            text = self.parser.dump(self.config, skip_validation=True, **shown)
            self.config_dump = yaml.safe_load(text)[self.config.subcommand]

    def instantiate_classes(self) -> None:
        """A callback that refuses its options is heard."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            raise ValueError(explain_refusal(str(error))) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the progress bar that suits the output, the table that predict is for, and safe checkpoints."""
        config = self._get(self.config_init, "trainer")
        callbacks = config["callbacks"] = list(config.get("callbacks") or [])
        if config.get("enable_progress_bar") is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
            callbacks.append(RichProgressBar(refresh_rate=20) if sys.stdout.isatty() else PlainProgress())
        if self.command == "predict" and not any(isinstance(c, PredictionTable) for c in callbacks):
            callbacks.append(PredictionTable())
        refuse_twins(callbacks)
        plugins = config.get("plugins") or []
        plugins = list(plugins) if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(AtomicCheckpointIO())
        return super().instantiate_trainer(plugins=plugins, **kwargs)

    def after_fit(self) -> None:
        """Say where the results are and how to test them."""
        folder = self.trainer.log_dir  # all ranks must ask for it
        best = getattr(self.trainer.checkpoint_callback, "best_model_path", "")
        if best and folder and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.say_where(relative(Path(best)), relative(Path(folder)))

    @rank_zero_only
    def say_where(self, best: Path, folder: Path) -> None:
        """Print the checkpoint and the command that tests it."""
        print(f"Checkpoint: {best}")
        print(f"Test it:    python main.py test -c {folder / 'config.yaml'} --ckpt_path best")


def config_files(options: Any) -> list[Path]:
    """The files given with ``-c``."""
    return [Path(str(path)) for path in options.get("config") or []]


def runs_folder(options: Any) -> Path:
    """Where this command's runs are kept: the logger's folder, and the run's name where one is given."""
    logger = options.trainer.logger
    save_dir = logger.init_args.get("save_dir", "runs") if hasattr(logger, "init_args") else "runs"
    return Path(save_dir) / (options.name or "")


def refuse_untrained(command: str, options: Any) -> None:
    """Only fit may start from random weights without being told so."""
    if command == "fit" or options.ckpt_path or options.untrained:
        return
    if not has_weights(options.model.get("init_args", {}).get("network")):
        raise ValueError(
            f"{command} needs trained weights: give --ckpt_path best, last or a file, or the network's weights option; "
            "--untrained true does without"
        )


def has_weights(network: Any) -> bool:
    """Whether a network, or one inside it, names a file of weights."""
    given = (network or {}).get("init_args", {})
    return bool(given) and (bool(given.get("weights")) or has_weights(given.get("network")))


def refuse_twins(callbacks: list[Callback]) -> None:
    """Two callbacks with the same state would overwrite each other's in a checkpoint."""
    keys = [callback.state_key for callback in callbacks if callback.state_dict()]
    for twin in {key for key in keys if keys.count(key) > 1}:
        name = twin.partition("{")[0]
        raise ValueError(f"{name} is switched on twice with the same options: give its fragment once")


def choose_run_folder(options: Any) -> None:
    """One folder for a run's whole life: a checkpoint's own one, else a new version below ``runs/<name>``."""
    logger = options.trainer.logger
    if getattr(logger, "class_path", None) != TENSORBOARD:
        return
    run = folder_of(Path(options.ckpt_path)) if options.ckpt_path else None
    if run is not None:
        logger.init_args.save_dir = str(relative(run.parent.parent))
        logger.init_args.name, logger.init_args.version = run.parent.name, run.name
    else:
        logger.init_args.name = options.name or logger.init_args.name or default_name(options)


def default_name(options: Any) -> str:
    """The data set's and the network's names, such as ``cifar10-cifarresnet``."""
    model = options.model.get("init_args", {}).get("network") or options.model
    return "-".join(part.class_path.rpartition(".")[2].lower() for part in (options.data, model))


def relative(path: Path) -> Path:
    """As seen from the current folder, where it lies below it."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
