"""Is the installation sound? Asked before anything heavy is imported."""

from importlib.metadata import PackageNotFoundError, requires, version


def check_torch_pair() -> None:
    """Refuse a torch and a torchvision that were not built for each other, which break ``import lightning``."""
    try:
        torch, vision = version("torch"), version("torchvision")
        needs = requires("torchvision") or []
    except PackageNotFoundError as error:
        raise SystemExit(f"error: {error.name} is not installed: run `pip install -e .` in this folder") from None
    if not builds_match(torch, vision, needs):
        raise SystemExit(
            f"error: torch {torch} and torchvision {vision} do not belong together: install both from the same index "
            "in one command, `pip install --force-reinstall torch torchvision`"
        )


def builds_match(torch: str, vision: str, vision_needs: list[str]) -> bool:
    """Whether torchvision was built for this torch: the release it names, and not only one of the two without CUDA."""
    release, _, build = torch.partition("+")
    _, _, vision_build = vision.partition("+")
    pinned = [need for need in vision_needs if need.replace(" ", "").startswith("torch==")]
    named = all(need.replace(" ", "").partition("==")[2].split(";")[0] == release for need in pinned)
    return named and (build == "cpu") == (vision_build == "cpu")
