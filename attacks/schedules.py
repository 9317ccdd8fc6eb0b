"""Which networks an image is tried on while one perturbation is crafted for several."""

from abc import ABC, abstractmethod
from collections.abc import Sequence


class Schedule(ABC):
    """Assigns networks to visits of images.

    Kühne and Tödtli, "Combining Universal Adversarial Perturbations".
    """

    def __repr__(self) -> str:
        return type(self).__name__

    def check(self, networks: int) -> None:
        """Refuse a number of networks that the schedule cannot serve."""
        if networks < 1:
            raise ValueError(f"networks={networks}: a universal perturbation needs at least one network")

    @abstractmethod
    def turn(self, visit: int, networks: int) -> Sequence[int]:
        """The networks, in order, that one image is tried on.

        Args:
            visit: how many images were visited before, counted through all passes.
            networks: how many there are.
        """


class Single(Schedule):
    """One network, as in Moosavi-Dezfooli et al. 2017, "Universal adversarial perturbations", arXiv 1610.08401."""

    def check(self, networks: int) -> None:
        if networks != 1:
            raise ValueError(f"Single serves one network, not {networks}: choose EveryNetwork or Alternate")

    def turn(self, visit: int, networks: int) -> Sequence[int]:
        return (0,)


class EveryNetwork(Schedule):
    """Every image on all networks in their order; the perturbation changes in between (algorithm 1)."""

    def turn(self, visit: int, networks: int) -> Sequence[int]:
        return range(networks)


class Alternate(Schedule):
    """One network per image; the list rotates after each image, fooled or not, through all passes (algorithm 2)."""

    def turn(self, visit: int, networks: int) -> Sequence[int]:
        return (visit % networks,)
