"""One sentence for a mistake on the command line or in a config file, with the nearest valid names."""

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable
from pathlib import Path

from cli.rooms import ROOMS

LIGHTNING_AND_TORCH = (
    "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers",
    "torch.optim",
    "torch.optim.lr_scheduler",
)


def nearest(name: str, valid: Iterable[str]) -> str:
    """The valid names that are spelled most like this one, as the end of a sentence."""
    by_lower = {candidate.lower(): candidate for candidate in valid}
    close = [by_lower[key] for key in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def class_names() -> list[str]:
    """The classes that a config may name without their package."""
    names = []
    for module in (*ROOMS, *map(importlib.import_module, LIGHTNING_AND_TORCH)):
        names += [name for name in getattr(module, "__all__", vars(module)) if inspect.isclass(vars(module).get(name))]
    return names


def option_names(class_path: str) -> list[str]:
    """The options of a class, those that it passes on to its parents included."""
    module, _, name = class_path.rpartition(".")
    known: list[str] = []
    for parent in inspect.getmro(getattr(importlib.import_module(module), name)):
        parameters = inspect.signature(parent.__init__).parameters  # type: ignore[misc]
        known += [key for key in parameters if key not in ("self", "args", "kwargs")]
        if "kwargs" not in parameters:
            break
    return known


def explain(message: str, options: Iterable[str]) -> str:
    """The parser's message in one sentence.

    Args:
        message: what the parser says, possibly over many lines.
        options: all options of the subcommand, such as ``trainer.max_epochs``.
    """
    for pattern, sentence in (
        (r"class_path '([\w.]+)':\s+Option '(\w+)' is not accepted", explain_class_option),
        (r"Expected a dot import path string: (\S+)", explain_class),
        (r"class_path '([\w.]+)':\s+(?:module '|No module named|Import of|Unable to)", explain_import),
        (r"File does not exist: '([^']+)'", explain_file),
    ):
        if found := re.search(pattern, message):
            return sentence(*found.groups())
    if found := re.search(r"unrecognized arguments: (--)?([^\s=]+)|does not accept option '()([^']+)'", message):
        name = found.group(2) or found.group(4)
        return f"there is no option {name}{nearest(name, options)}"
    return explain_value(message)


def explain_class_option(class_path: str, option: str) -> str:
    """A class exists but has no such option."""
    valid = option_names(class_path)
    return f"{class_path} has no option {option}{nearest(option, valid) or '; it takes ' + ', '.join(valid)}"


def explain_class(name: str) -> str:
    """There is no such class."""
    return f"there is no class or file {name}{nearest(name, class_names())}"


def explain_import(path: str) -> str:
    """A dotted path does not lead to a class."""
    return f"{path} cannot be imported{nearest(path.rpartition('.')[2], class_names())}"


def explain_file(path: str) -> str:
    """A config file is missing."""
    beside = Path(path).parent
    path = path.removeprefix(f"{Path.cwd()}/")
    return f"there is no file {path}{nearest(Path(path).name, (file.name for file in beside.glob('*.yaml')))}"


def explain_refusal(message: str) -> str:
    """What a class says of its options, where the parser reports it beside other reasons why a value can't be used."""
    found = re.match(r"Does not validate against any of the Union subtypes\n.*?Errors:\n  - (.*?)\n  - ", message, re.S)
    return found.group(1) if found else message


def explain_value(message: str) -> str:
    """A value of the wrong kind: the option, what it takes, what it got."""
    keys = re.findall(r'Parser key "([^"]+)"', message)
    expected = re.findall(r"Expected an? <class '(\w+)'>", message)
    given = re.search(r"Given value: (.*)|Got value: (.*)", message)
    kinds = " or ".join(dict.fromkeys(kind for kind in expected if kind != "NoneType"))
    if keys and kinds and given:
        return f"option {'.'.join(keys)} takes {kinds}, but got {given.group(1) or given.group(2)}"
    return message
