"""What a test of defences found, over all ranks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor
from torchmetrics import Metric

from callbacks.defense_trials import READINGS, Bench, DefenseTrial
from callbacks.sweeps import Sweep
from metrics import DestructionRate

Found = Mapping[str, Tensor]  # what a metric gives, on the CPU
SINGLE, VOTE = 0, 1  # which reading


@dataclass(frozen=True)
class Curve:
    """What a single run of a defence undoes, over the values of an option.

    Attributes:
        defense: its name.
        parameter: the option.
        values: of the option.
        destruction_rate: by attack, at each value (values,).
        acc: by attack, and ``clean`` where clean images went through the defences, at each value (values,).
    """

    defense: str
    parameter: str
    values: Sequence[float]
    destruction_rate: Mapping[str, Tensor]
    acc: Mapping[str, Tensor]

    @classmethod
    def of(cls, defense: str, sweep: Sweep, rates: Mapping[str, DestructionRate]) -> "Curve":
        """Compute the metrics of a sweep, which every rank must do at the same time."""
        found = {name: computed(rate) for name, rate in rates.items()}
        acc = {name: rate["acc"][:, SINGLE] for name, rate in found.items()}
        destroyed = {name: rate["destruction_rate"][:, SINGLE] for name, rate in found.items() if name != "clean"}
        return cls(defense, sweep.parameter, sweep.values, destroyed, acc)

    def figures(self) -> dict[str, float]:
        """Its values by their names below ``test/defended/``."""
        return {
            f"{attack}/{self.defense}/{self.parameter}={value:g}/{figure}": rate
            for figure, lines in (("destruction_rate", self.destruction_rate), ("acc", self.acc))
            for attack, rates in lines.items()
            for value, rate in zip(self.values, rates.tolist(), strict=True)
        }


@dataclass(frozen=True)
class Findings:
    """All figures of a test.

    Attributes:
        defenses: names, in order.
        clean: of the images without an attack.
        with_clean: whether these went through the defences.
        attacks: of each attack, by name.
        sizes: of the perturbations, by attack.
        adaptive: of each attack through each defence; empty without an adaptive attacker.
        adaptive_sizes: of their perturbations.
        seconds: of a run of each defence on one image.
        ensemble: runs that vote.
        eot: runs that an adaptive attacker averages over.
        curves: over options of defences.
    """

    defenses: Sequence[str]
    clean: Found
    with_clean: bool
    attacks: Mapping[str, Found]
    sizes: Mapping[str, Found]
    adaptive: Mapping[str, Sequence[Found]]
    adaptive_sizes: Mapping[str, Sequence[Found]]
    seconds: Sequence[float]
    ensemble: int
    eot: int
    curves: Sequence[Curve]

    @classmethod
    def of(
        cls,
        clean: DestructionRate,
        with_clean: bool,
        trials: Sequence[DefenseTrial],
        bench: Bench,
        eot: int,
        curves: Sequence[Curve],
    ) -> "Findings":
        """Compute all metrics, which every rank must do at the same time."""
        return cls(
            list(bench.defenses),
            computed(clean),
            with_clean,
            {trial.name: computed(trial.rate) for trial in trials},
            {trial.name: computed(trial.size) for trial in trials},
            {trial.name: [computed(rate) for rate in trial.against] for trial in trials},
            {trial.name: [computed(size) for size in trial.sizes] for trial in trials},
            (bench.costs[:, 1] / bench.costs[:, 0]).tolist(),
            bench.ensemble,
            eot,
            curves,
        )

    @property
    def is_adaptive(self) -> bool:
        """Whether an attacker knew the defences."""
        return any(self.adaptive.values())

    def figures(self) -> dict[str, float]:
        """Everything by its name in ``metrics.json``, below ``test/defended/``."""
        found = {"clean/acc": float(self.clean["recognised"] / self.clean["images"])}
        found |= {f"{defense}/seconds": value for defense, value in zip(self.defenses, self.seconds)}
        for place, defense in enumerate(self.defenses if self.with_clean else []):
            found |= dict(named(f"clean/{defense}/", self.clean, place, ("acc", "acc_of_all")))
        for attack, rates in self.attacks.items():
            found |= {f"{attack}/{name}": float(rates[name]) for name in ("acc_undefended", "fooled", "recognised")}
            found |= {f"{attack}/{name}": float(value) for name, value in self.sizes[attack].items()}
            for place, defense in enumerate(self.defenses):
                found |= dict(named(f"{attack}/{defense}/", rates, place, ("acc", "destruction_rate")))
            for defense, known, size in zip(self.defenses, self.adaptive[attack], self.adaptive_sizes[attack]):
                found |= dict(named(f"{attack}/{defense}/adaptive_", known, None, ("acc", "destruction_rate")))
                found[f"{attack}/{defense}/adaptive_rmse"] = float(size["rmse"])
        found |= self._means(found)
        return found | {name: rate for curve in self.curves for name, rate in curve.figures().items()}

    def _means(self, found: Mapping[str, float]) -> dict[str, float]:
        """The mean over all attacks of each accuracy behind a defence, under ``mean``."""
        first = next(iter(self.attacks))
        names = [name for name in found if name.startswith(f"{first}/") and name.count("/") == 2]
        ends = [name.removeprefix(f"{first}/") for name in names if name.endswith("acc")]
        attacks = self.attacks
        return {f"mean/{end}": sum(found[f"{attack}/{end}"] for attack in attacks) / len(attacks) for end in ends}


def computed(metric: Metric) -> Found:
    """A metric's figures of all ranks, on the CPU."""
    return {name: value.cpu() for name, value in metric.compute().items()}


def named(prefix: str, found: Found, place: int | None, names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Figures of one defence, of a single run and of the vote."""
    for name in names:
        values = found[name] if place is None else found[name][place]
        for reading, value in zip(READINGS, values.tolist(), strict=True):
            yield f"{prefix}{reading}{name}", value
