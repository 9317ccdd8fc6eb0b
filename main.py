"""Train, attack, corrupt, defend and audit image models: ``python main.py fit -c configs/quickstart.yaml``."""

import os
import sys

from cli.installation import check_torch_pair
from cli.memory import keep_freed_memory
from cli.plugins import list_plugins, markdown_table

HELP = """usage: python main.py COMMAND [-c CONFIG ...] [--option value ...]

commands
  fit        train a model; ends by printing the checkpoint and the command that tests it
  validate   evaluate on the validation images
  test       evaluate on the test images
  predict    classes of the test images, or of a folder of pictures (--data PictureFiles), as a CSV file
  plugins    list the techniques and the fragment that switches each on

examples
  python main.py fit  -c configs/quickstart.yaml
  python main.py fit  -c configs/data/cifar10.yaml -c configs/models/resnet20.yaml --trainer.max_epochs 10
  python main.py test -c runs/NAME/VERSION/config.yaml --ckpt_path best
  python main.py fit  --model.help Classifier        options of one class; all options: fit --help

Later files win over earlier ones, and options over files. A config file is code, a checkpoint is data.
Set ASSAY_TRACEBACK=1 to see where in the code an error arose."""


def main(args: list[str]) -> None:
    """Run one command; errors are raised."""
    if not args or args[0] in ("-h", "--help"):
        print(HELP)
    elif args[0] == "plugins":
        print(markdown_table() if "--markdown" in args else list_plugins())
    else:
        check_torch_pair()
        keep_freed_memory()
        from cli import rooms  # noqa: F401  (so that configs may name classes without their package)
        from cli.command_line import CommandLine

        CommandLine(args)


def is_a_mistake(error: Exception) -> bool:
    """Whether an error is the user's to mend, so that its sentence is enough."""
    return isinstance(error, ValueError | TypeError | OSError) or type(error).__name__ == "MisconfigurationException"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as error:
        if os.environ.get("ASSAY_TRACEBACK") or not is_a_mistake(error):
            raise
        sys.exit(f"error: {' '.join(str(error).split())}")
