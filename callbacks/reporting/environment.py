"""What a result depends on besides its configuration: versions, code, hardware, seed."""

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer

PACKAGES = ("assay", "torch", "torchvision", "lightning", "torchmetrics", "numpy", "faiss-cpu", "faiss-gpu")


def describe_environment(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    """Plain data on the subject, the run, the versions, the code and the hardware; no path, host or user name."""
    return {
        "subject": describe_subject(trainer, pl_module),
        "run": describe_run(trainer),
        "versions": describe_versions(),
        "code": describe_code(Path(__file__)),
        "hardware": describe_hardware(trainer.strategy.root_device),
    }


def describe_subject(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    """What was trained or tested, and on which data."""
    network = getattr(pl_module, "network", pl_module)
    data = getattr(trainer, "datamodule", None)
    return {
        "network": type(network).__name__,
        "parameters": sum(parameter.numel() for parameter in pl_module.parameters()),
        "data": type(data).__name__ if data is not None else None,
    }


def describe_run(trainer: Trainer) -> dict[str, Any]:
    """Precision, ranks and seed."""
    seed = os.environ.get("PL_GLOBAL_SEED")
    return {
        "precision": str(trainer.precision),
        "ranks": trainer.world_size,
        "nodes": trainer.num_nodes,
        "seed": int(seed) if seed else None,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def describe_versions() -> dict[str, str]:
    """Of Python, the packages that decide results, and the GPU libraries that torch was built for."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    versions["torch"] = torch.__version__  # with its build, such as +cpu
    if torch.version.cuda is not None:
        versions["cuda"] = torch.version.cuda
    return versions


def describe_code(path: Path) -> dict[str, Any] | None:
    """Commit of the repository that tracks this file, and whether tracked files differ from it; None outside git."""
    if _git(path, "ls-files", "--error-unmatch", path.name) is None:
        return None
    commit = _git(path, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git(path, "status", "--porcelain", "--untracked-files=no"))}


def _git(path: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(path.parent), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def describe_hardware(device: torch.device) -> dict[str, Any]:
    """Processor, cores that this process may use, memory in GiB, and the GPUs if the run used any."""
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": memory_gib(),
        "device": device.type,
        "gpus": [torch.cuda.get_device_name(index) for index in range(gpus)],
    }


def cpu_model() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory_gib() -> float | None:
    """Memory of the machine in GiB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (OSError, ValueError):
        return None


def shorten_paths(text: str) -> str:
    """Text whose absolute paths keep their last part only, so that a report tells nothing about a machine's folders."""
    return re.sub(r"(?<![^\s'\"\[({,=:])(?:/[\w.@+~-]+)+/([\w.@+~-]+)", r"…/\1", text)
