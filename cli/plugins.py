"""The list of techniques, read from the fragments that switch them on."""

from pathlib import Path

CONFIGS = Path(__file__).parents[1] / "configs"


def describe(fragment: Path) -> str:
    """What a fragment switches on: its first line, a comment."""
    first = fragment.read_text().partition("\n")[0]
    if not first.startswith("# "):
        raise ValueError(f"{fragment} must begin with a comment that says in one line what it switches on")
    return first.removeprefix("# ")


def fragments() -> list[Path]:
    """The files that switch a technique on."""
    return sorted((CONFIGS / "plugins").glob("*.yaml"))


def markdown_table() -> str:
    """The README's table."""
    rows = [f"| `-c configs/plugins/{path.name}` | {describe(path)} |" for path in fragments()]
    return "\n".join(["| add | to |", "|---|---|", *rows])


def list_plugins() -> str:
    """A line for each technique: how to switch it on, and what it does."""
    width = max((len(path.stem) for path in fragments()), default=0)
    lines = [f"-c configs/plugins/{path.name:{width + 5}}  {describe(path)}" for path in fragments()]
    return "\n".join(["Add any of these to a command; any two can be stacked:", *lines])
