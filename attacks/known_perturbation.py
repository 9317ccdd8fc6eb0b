"""A perturbation that was crafted before, as an attack."""

import hashlib
from pathlib import Path

from attacks.attack import Attack, Case, Found
from attacks.boxes import Box, ClipBox
from attacks.draws import Draws
from attacks.perturbation_files import check_shape, load_perturbation
from attacks.victim import Trace


class KnownPerturbation(Attack):
    """Adds one and the same perturbation to every image, whether that fools the model or not.

    Args:
        path: of a file that ``save_perturbation`` wrote, or of a published one, see ``load_perturbation``.
        box: ``ClipBox`` (default) gives pictures that can be shown, ``NoBox`` x + v as in the published code.
    """

    starts_clean = False

    def __init__(self, path: str | Path, box: Box | None = None) -> None:
        self.path, self.box = Path(path).expanduser(), box or ClipBox()
        self.perturbation = load_perturbation(self.path)

    def __repr__(self) -> str:
        content = hashlib.sha256(self.perturbation.numpy().tobytes()).hexdigest()[:12]  # a file may be written anew
        return f"KnownPerturbation(path={self.path}, content={content}, box={self.box})"

    def search(self, case: Case, first: Trace, found: Found, draws: Draws | None) -> None:
        check_shape(self.perturbation, case.images.shape[1:], self.path)
        points = self.box.place(case.images + self.perturbation.to(case.images))
        scores = first.victim.look(points, case.owners)
        found.offer(case.owners, points, case.goal.margin(scores), case.goal.reached(scores))
