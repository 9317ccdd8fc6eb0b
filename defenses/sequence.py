"""Several defences, one after the other."""

from collections.abc import Iterator
from collections.abc import Sequence as Many
from contextlib import ExitStack, contextmanager

from torch import Generator, Tensor, nn

from defenses.defense import Defense


class Sequence(Defense):
    """Apply several defences, the first one first.

    Args:
        parts: defences; each draws its own random numbers, also where one stands there twice. Those of another
            ``Sequence`` become parts of this one.
    """

    def __init__(self, parts: Many[Defense]) -> None:
        super().__init__()
        if not len(parts):
            raise ValueError("Sequence: parts=[] is empty: give at least one defence, or Identity")
        for part in parts:
            if not isinstance(part, Defense):
                raise ValueError(f"Sequence: parts holds a {type(part).__name__}, which is no defence: take it out")
        flat = [each for part in parts for each in (part.parts if isinstance(part, Sequence) else [part])]
        self.parts: nn.ModuleList = nn.ModuleList(flat)  # so that no two of them have the same number
        self.random = any(part.random for part in parts)
        self.gradient = "exact" if all(part.gradient == "exact" for part in parts) else "identity"

    def forward(self, images: Tensor, run: int = 0) -> Tensor:
        with self.looking_once(images):
            for place, part in enumerate(self.parts):
                images = part(images, run * len(self.parts) + place)  # a number that no other run and place share
        return images

    @property
    def generator(self) -> Generator | None:  # type: ignore[override]
        """Of all parts that have the same."""
        first, *others = (getattr(part, "generator", None) for part in self.parts)
        return first if all(other is first for other in others) else None

    @generator.setter
    def generator(self, generator: Generator | None) -> None:
        for part in self.parts:
            setattr(part, "generator", generator)  # noqa: B010 - a ModuleList does not say what its parts are

    def restore(self, images: Tensor, run: int) -> Tensor:
        return self(images, run)  # type: ignore[no-any-return]

    def attach(self, network: nn.Module) -> None:
        for part in self.parts:
            part.attach(network)  # type: ignore[operator]

    @contextmanager
    def looking_once(self, images: Tensor, keys: Tensor | None = None) -> Iterator[None]:
        with super().looking_once(images, keys), ExitStack() as stack:
            for part in self.parts:
                stack.enter_context(part.looking_once(images, self._keys))  # type: ignore[operator]
            yield

    def __repr__(self) -> str:
        return f"Sequence([{', '.join(repr(part) for part in self.parts)}])"
