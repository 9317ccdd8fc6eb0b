"""One perturbation for all images, by climbing the loss: fast, and for several networks at once."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from attacks.boxes import Box, NoBox
from attacks.crafting import Crafting, UniversalAttack, Visit
from attacks.goal import Untargeted
from attacks.norms import Norm, NormName
from attacks.panel import Panel
from attacks.projections import Projection
from attacks.schedules import Schedule
from options import check_above


class UniversalGradient(UniversalAttack):
    """One small perturbation that changes the predictions of most images, by steps along the gradient of the loss.

    Shafahi et al. 2020, "Universal Adversarial Training", arXiv 1811.11304: for each batch of images,
    v ← project(v + step · direction), where the direction is the steepest one for the sum of their cross-entropies to
    the network's own clean predictions, each capped so that no single image decides. Far fewer passes than DeepFool's
    moves take. A batch holds visits of all scheduled networks, so the gradients of several networks are added up.

    Args:
        schedule: ``Single``, ``EveryNetwork`` (default) or ``Alternate``.
        norm: of the budget and of a step, ``linf`` or ``l2``, or an object.
        radius: the budget ξ, in pixels scaled to [0, 1]. None is 10/255 in ``linf``; in ``l2`` one has to be given, as
            2000/255 for images of 224x224 in the paper, which is as much per pixel as 1.1 for 32x32.
        step: length of a step, in the same unit, half the radius by default; it falls evenly to zero over all passes,
            which should have twenty steps or more together.
        passes: over the images, at most.
        fooling_rate: stop after a pass with at least this mean over networks, 1 − δ; above 1 for all passes.
        cap: no image's cross-entropy counts beyond this.
        box: ``NoBox`` (default) takes x + v as it is, ``ClipBox`` cuts it to [0, 1].
        projection: ``Nearest`` (default) or ``PrintedFormula``.
        batch_size: visits whose gradients are added up for a step.
        seed: of the order of images; None follows ``seed_everything``.
    """

    def __init__(
        self,
        schedule: Schedule | None = None,
        norm: Norm | NormName = "linf",
        radius: float | None = None,
        step: float | None = None,
        passes: int = 20,
        fooling_rate: float = 2.0,
        cap: float = 9.0,
        box: Box | None = None,
        projection: Projection | None = None,
        batch_size: int = 64,
        seed: int | None = None,
    ) -> None:
        super().__init__(schedule, norm, radius, passes, fooling_rate, box or NoBox(), projection, batch_size, seed)
        self.step, self.cap = self.radius / 2 if step is None else step, cap
        check_above(self, 0, step=self.step, cap=cap)

    def begin(self, jury: Panel) -> "Climbing":
        return Climbing(self, jury)


class Climbing(Crafting):
    """From one batch of visits to the next.

    Args:
        settings: how.
        jury: for whom.
    """

    def __init__(self, settings: UniversalGradient, jury: Panel) -> None:
        super().__init__(jury, settings.norm, settings.radius, settings.projection)
        self.settings = settings

    def visit(self, visits: Sequence[Visit]) -> None:
        size = self.settings.batch_size
        batches = [visits[start : start + size] for start in range(0, len(visits), size)]
        for batch in batches:
            done = self.updates / (self.settings.passes * len(batches))
            gradient = sum(self._gradient(network, index) for network, _, index in self.by_network(batch))
            direction = self.norm.steepest(cast(Tensor, gradient).unsqueeze(0))[0]
            self.move((1 - done) * self.settings.step * direction)

    def _gradient(self, network: int, index: Tensor) -> Tensor:
        """Of the capped cross-entropies of these images (n,), added up: (C, H, W)."""
        points = self.jury.perturbed(index, self.perturbation)
        trace = self.jury.victims[network].trace(points, index)
        losses = Untargeted(self.jury.clean[network][index]).loss(trace.scores)
        gradients = trace.gradient(losses.clamp(max=self.settings.cap))
        return self.settings.box.admissible(points, gradients).sum(0)
