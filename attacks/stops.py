"""When an attack with a fixed budget leaves an image alone."""

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor

from attacks.goal import Goal
from options import by_name

StopName = Literal["never", "success"]


class Stop(ABC):
    """Says which images get no further step."""

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def finished(self, goal: Goal, scores: Tensor) -> Tensor | None:
        """Which images (N,) are left alone; None for none, so that no value is looked up on the device."""


class Never(Stop):
    """Every image gets every step, also one whose label is wrong already: for training."""

    def finished(self, goal: Goal, scores: Tensor) -> Tensor | None:
        return None


class OnSuccess(Stop):
    """An image is left alone as soon as its goal is reached: for evaluation, at a fraction of the passes."""

    def finished(self, goal: Goal, scores: Tensor) -> Tensor | None:
        return goal.reached(scores)


def stop_of(value: Stop | StopName) -> Stop:
    """A stop, or the one of this short name."""
    return by_name("stop", value, {"never": Never, "success": OnSuccess})
