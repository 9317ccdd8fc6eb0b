"""The sections that every report has, drawn from the record of the run."""

from collections.abc import Iterator, Mapping
from math import isnan, nan
from typing import Any

from callbacks.figures import Series, draw_curves, spans_decades
from callbacks.reporting.environment import shorten_paths
from callbacks.sections import Block, Card, Cell, Columns, Figure, Listing, Section, Table, Text, show
from metrics import wilson_interval

Record = Mapping[str, Any]  # the content of metrics.json

RATES = ("acc", "top5")
TITLES = {"loss": "Loss", "acc": "Accuracy", "top5": "Top-5 accuracy", "lr": "Learning rate"}
BETTER = {"loss": min, "acc": max, "top5": max}
STAGE_TITLES = {"fit": "Training, last epoch", "validate": "Validation", "test": "Test"}


def headline(record: Record) -> Iterator[Card]:
    """The numbers that one wants to see first."""
    results, environment = record.get("test", {}), record.get("environment", {})
    if results.get("test/acc") is not None:
        images = environment.get("test", {}).get("images")
        yield Card("Test accuracy", percent(results["test/acc"]), interval_note(results["test/acc"], images))
    best = record.get("best") or {}
    if best.get("score") is not None:
        yield Card(f"Best {best['monitor']}", rate_or_number(best["monitor"], best["score"]), best.get("path") or "")
    fit = environment.get("fit")
    if fit:
        device = ", ".join(sorted(set(fit["hardware"]["gpus"]))) or "CPU"
        yield Card("Epochs", str(fit["epochs"]), "" if record["status"]["fit"] == "finished" else "interrupted")
        yield Card("Training time", duration(fit["seconds"]), f"{fit['run']['ranks']} × {device}")
    subject = (fit or environment.get("test") or environment.get("validate") or {}).get("subject")
    if subject:
        yield Card("Parameters", f"{subject['parameters']:,}", subject["network"])


def results_section(record: Record) -> Section:
    """One table for each stage that has results; the figures of plug-ins, which have sections of their own, folded."""
    stages = [stage for stage in ("test", "validate", "fit") if record.get(stage)]
    blocks: list[Block] = [Columns([results_table(record, stage) for stage in stages])]
    blocks += [plugin_figures(record, stage) for stage in stages if any(map(of_plugin, record[stage]))]
    fitted = record.get("environment", {}).get("fit", {}).get("date", "")
    older = [stage for stage in ("test", "validate") if record.get(stage) and date(record, stage) < fitted]
    if older:
        blocks.insert(0, Text(f"Training went on after these results: {', '.join(older)}. Run them again."))
    return Section("Results", blocks if stages else [Text("No results yet.")], order=10)


def results_table(record: Record, stage: str) -> Table:
    """The metrics of a stage itself, with an interval where it is a rate over a known number of images."""
    about = record.get("environment", {}).get(stage, {})
    images = about.get("images")
    rows: list[list[Cell]] = [[name, value] for name, value in sorted(record[stage].items()) if not of_plugin(name)]
    header = [STAGE_TITLES[stage], "value"]
    if images:
        header.append("95 % interval")
        rows = [[*row, interval(str(row[0]), row[1], images)] for row in rows]
    weights = about.get("checkpoint") or "the weights at hand"
    judged = f"Measured on {images:,} images" if images else "Measured"
    caption = f"{judged} with {weights} on {date(record, stage)[:10]}."
    if stage == "fit":
        caption = "As logged at the end of training."
    return Table(header, rows, caption)


def of_plugin(metric: str) -> bool:
    """Whether a metric's name has more than a stage and a word, such as ``test/pgd/fooling_rate``."""
    return metric.count("/") > 1


def plugin_figures(record: Record, stage: str) -> Listing:
    """All figures of plug-ins in a stage, one below the other."""
    found = {name: value for name, value in sorted(record[stage].items()) if of_plugin(name)}
    width = max(map(len, found))
    text = "\n".join(f"{name:{width}}  {show(value)}" for name, value in found.items())
    return Listing(text, f"{STAGE_TITLES[stage]}: all {len(found)} figures of plug-ins")


def curves_section(record: Record) -> Section | None:
    """How all metrics went over the epochs, but a plug-in's that never moved; train and val share a drawing."""
    groups: dict[str, dict[str, Series]] = {}
    for name, series in record.get("history", {}).items():
        stage, _, metric = name.partition("/")
        shared = stage in ("train", "val") and metric
        points = [[epoch, nan if value is None else value] for epoch, value in series]
        if shared or "/" not in name or moves(points):
            groups.setdefault(metric if shared else name, {})[stage if shared else name] = points
    if not groups:
        return None
    first = {name: place for place, name in enumerate(("loss", "acc", "top5"))}
    names = sorted(groups, key=lambda name: (first.get(name, 3), name == "lr", name))
    return Section("Curves", [Columns([curve(name, groups[name]) for name in names])], order=20)


def moves(points: Series) -> bool:
    """Whether a curve shows more than a number."""
    return len(points) == 1 or len({value for _, value in points}) > 1


def curve(metric: str, curves: Mapping[str, Series]) -> Figure:
    """One drawing, with its last and best values in words."""
    curves = dict(sorted(curves.items()))  # train before val, always in the same colours
    logarithmic = metric.startswith(("loss", "lr")) and spans_decades(curves)
    last = ", ".join(f"{name} {series[-1][1]:.4g}" for name, series in curves.items())
    caption = f"After the last epoch: {last}"
    known = [point for point in curves.get("val", ()) if not isnan(point[1])]
    if metric in BETTER and len(known) > 1:
        best = BETTER[metric](known, key=lambda point: point[1])
        caption += f"; best val {best[1]:.4g} in epoch {best[0] + 1:.0f}"
    if logarithmic:
        caption += "; logarithmic scale"
    return Figure(draw_curves(TITLES.get(metric, metric), curves, logarithmic), f"{caption}.")


def configuration_section(config: str | None) -> Section | None:
    """The configuration that repeats the run."""
    if config is None:
        return None
    words = Text("Everything that is needed to repeat the run; paths are shortened to their last part.")
    return Section("Configuration", [words, Listing(shorten_paths(config), "config.yaml")], order=90)


def environment_section(record: Record) -> Section:
    """Versions, code, hardware and seed of each stage."""
    stages = record.get("environment", {})
    columns = {stage: dict(flatten(about)) for stage, about in stages.items()}
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    rows: list[list[Cell]] = [[name, *(show(column.get(name)) for column in columns.values())] for name in names]
    caption = "What the numbers depend on besides the configuration; seconds are wall time."
    return Section("Environment", [Table(["", *columns], rows, caption)], order=95)


def flatten(about: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Cell]]:
    """Nested plain data as pairs of a dotted name and a value."""
    for name, value in about.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", ", ".join(map(str, value)) or None if isinstance(value, list) else value


def banner(record: Record) -> str:
    """A warning for the head of the page; empty where all is well."""
    status = str(record.get("status", {}).get("fit", "finished"))
    return "" if status == "finished" else f"Training was {status}: this report shows what there was until then."


def date(record: Record, stage: str) -> str:
    """When a stage ended, in a form that sorts."""
    return str(record.get("environment", {}).get(stage, {}).get("date", ""))


def interval(name: str, value: Cell, images: int) -> str:
    """The interval of a rate over all images in words; nothing for anything else, such as what a plug-in has logged."""
    if name.partition("/")[2] not in RATES or not isinstance(value, float) or isnan(value):
        return ""
    low, high = wilson_interval(value, images)
    return f"{low:.4f}\u00a0to\u00a0{high:.4f}"


def interval_note(rate: float, images: int | None) -> str:
    """The interval of a rate in percent and the number of images, as far as they are known."""
    if not images:
        return ""
    low, high = wilson_interval(rate, images)
    return f"95\u00a0% interval {100 * low:.1f}\u00a0to\u00a0{100 * high:.1f}\u00a0%, {images:,}\u00a0images"


def percent(rate: float) -> str:
    """A rate in percent."""
    return f"{100 * rate:.1f}\u00a0%"


def rate_or_number(name: str, value: float) -> str:
    """Rates in percent, other numbers as they are."""
    return percent(value) if name.rpartition("/")[2] in RATES else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Wall time as one says it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
