"""The forward pass of a network as a straight line of tensor operations, which can be read and run again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pruning.undisturbed import undisturbed

READS = {"item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "__array__", "equal", "allclose"}


@dataclass(frozen=True)
class Value:
    """Stands for a tensor that the forward pass makes, number 0 being the images."""

    number: int


class Step(NamedTuple):
    """One operation; ``args`` and ``kwargs`` hold a ``Value`` wherever a tensor of the forward pass stood."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[int, ...]
    in_place: bool

    @property
    def name(self) -> str:
        """Such as ``add`` for ``a + b``, ``a += b`` and ``a.add_(b)``."""
        name = str(getattr(self.function, "__name__", self.function)).strip("_")
        return {"iadd": "add", "radd": "add", "isub": "sub", "imul": "mul", "rmul": "mul"}.get(name, name)

    @property
    def sources(self) -> list[int]:
        """The values that go in, in order."""
        return [leaf.number for leaf in leaves((self.args, self.kwargs)) if isinstance(leaf, Value)]

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument, however it was given."""
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    def run(self, replace: Callable[[Any], Any]) -> list[Tensor]:
        """The results, after every leaf of the arguments has been replaced; never writes into its arguments."""
        args, kwargs = swap((self.args, self.kwargs), replace)
        if self.in_place:
            args = (args[0].clone(), *args[1:])
        made = self.function(*args, **kwargs)
        return [args[0]] if self.in_place else [leaf for leaf in leaves(made) if isinstance(leaf, Tensor)]


class ForwardPass:
    """The operations of one forward pass in their order, valid for images of one shape.

    Parameters stand in it as themselves, so it follows their values. Operations that write in place run as if they
    made a new tensor: every value keeps what it was when it was made.
    """

    def __init__(self, steps: Sequence[Step], outputs: Sequence[int], shapes: Sequence[torch.Size]) -> None:
        self.steps = steps
        self.outputs = outputs
        self.shapes = shapes  # of every value
        self.last_use = {source: index for index, step in enumerate(steps) for source in step.sources}
        self.last_use |= dict.fromkeys(outputs, len(steps))

    def run(self, images: Tensor) -> dict[int, Tensor]:
        """Every value by its number."""
        values = {0: images}
        for index in range(len(self.steps)):
            self._step(index, values)
        return values

    def advance(self, values: dict[int, Tensor], start: int, stop: int) -> None:
        """Run the steps from ``start`` to before ``stop``, and forget the values that nobody needs from there on."""
        for index in range(start, stop):
            self._step(index, values)
            for used in (*self.steps[index].sources, *self.steps[index].results):
                if self.last_use.get(used, -1) <= index:
                    values.pop(used, None)

    def _step(self, index: int, values: dict[int, Tensor]) -> None:
        step = self.steps[index]
        made = step.run(lambda leaf: values[leaf.number] if isinstance(leaf, Value) else leaf)
        values.update(zip(step.results, made))


def record(network: nn.Module, images: Tensor) -> ForwardPass:
    """The forward pass of a network over images (N, C, H, W), in eval mode.

    Raises:
        ValueError: what the network does with these images need not be what it does with others.
    """
    with undisturbed(network) as device, torch.no_grad():
        images = images.to(device, copy=True)
        with _Recorder(images, type(network).__name__) as recorder:
            outputs = network(images)
        numbers = [recorder.number(leaf) for leaf in leaves(outputs) if isinstance(leaf, Tensor)]
        forward_pass = ForwardPass(recorder.steps, [n for n in numbers if n is not None], recorder.shapes)
        _check(network, forward_pass, torch.rand_like(images))
    return forward_pass


def aligned(one: ForwardPass, many: ForwardPass) -> bool:
    """Whether a forward pass over several images does with each of them what another does with one image."""
    same_steps = [step.name for step in one.steps] == [step.name for step in many.steps]
    pairs = zip(one.shapes, many.shapes)
    return same_steps and all(a[1:] == b[1:] and b[:1] in (a[:1], many.shapes[0][:1]) for a, b in pairs)


def leaves(tree: Any) -> Iterator[Any]:
    """What nested tuples, lists and dicts hold."""
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if isinstance(tree, slice):
        tree = [tree.start, tree.stop, tree.step]
    if isinstance(tree, tuple | list):
        for branch in tree:
            yield from leaves(branch)
    else:
        yield tree


def swap(tree: Any, replace: Callable[[Any], Any]) -> Any:
    """Nested tuples, lists and dicts with every leaf replaced."""
    if isinstance(tree, Mapping):
        return {key: swap(branch, replace) for key, branch in tree.items()}
    if isinstance(tree, slice):
        return slice(*(swap(branch, replace) for branch in (tree.start, tree.stop, tree.step)))
    if isinstance(tree, tuple | list):
        return (list if isinstance(tree, list) else tuple)(swap(branch, replace) for branch in tree)
    return replace(tree)


class _Recorder(TorchFunctionMode):
    """Writes down every operation on tensors that stem from the images."""

    def __init__(self, images: Tensor, network: str) -> None:
        super().__init__()
        self.network = network
        self.steps: list[Step] = []
        self.shapes: list[torch.Size] = []
        self._values: WeakValueDictionary[int, Tensor] = WeakValueDictionary()  # as the network keeps them, no longer
        self._numbers: dict[int, int] = {}
        self._stale: set[int] = set()
        self._register(images)

    def __torch_function__(  # type: ignore[override]
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        placed = swap((args, kwargs), self._place)
        tensors = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        before = [tensor._version for tensor in tensors]
        result = function(*args, **kwargs)
        written = [tensor for tensor, version in zip(tensors, before) if tensor._version != version]
        if any(isinstance(leaf, Value) for leaf in leaves(placed)):
            self._write_down(function, placed, args, written, result)
        elif written:
            self._refuse(f"writes into its own buffers ({_name(function)}) in eval mode")
        return result

    def number(self, tensor: Tensor) -> int | None:
        """Of a value; None for tensors that don't stem from the images."""
        number = self._numbers.get(id(tensor), -1)
        return number if self._values.get(number) is tensor else None

    def _write_down(
        self, function: Callable[..., Any], placed: Any, args: tuple[Any, ...], written: list[Tensor], result: Any
    ) -> None:
        made = [leaf for leaf in leaves(result) if isinstance(leaf, Tensor)]
        if written:
            if any(tensor is not args[0] for tensor in written):
                self._refuse(f"writes into a second argument ({_name(function)})")
            self._forget_aliases(args[0])
            made = [args[0]]
        if _name(function) in READS:
            self._refuse(f"reads values of its tensors ({_name(function)}), so its path may depend on the images")
        if made:
            results = tuple(self._register(tensor) for tensor in made)
            self.steps.append(Step(function, placed[0], placed[1], results, bool(written)))

    def _register(self, tensor: Tensor) -> int:
        number = len(self.shapes)
        self.shapes.append(tensor.shape)
        self._values[number] = tensor
        self._numbers[id(tensor)] = number
        return number

    def _place(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        number = self.number(leaf)
        if number in self._stale:
            self._refuse("uses a tensor after another view of it was written in place")
        return leaf if number is None else Value(number)

    def _forget_aliases(self, written: Tensor) -> None:
        """What shares memory with a tensor that was written no longer is what it was when it was made."""
        memory = written.untyped_storage().data_ptr()
        for number, tensor in self._values.items():
            if tensor is not written and tensor.untyped_storage().data_ptr() == memory:
                self._stale.add(number)

    def _refuse(self, what: str) -> None:
        problem = f"the filters of {self.network} can't be followed: its forward pass {what}"
        raise ValueError(f"{problem}; rewrite that place")


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", function))


def _check(network: nn.Module, forward_pass: ForwardPass, images: Tensor) -> None:
    """Run both on other images."""
    expected = [leaf for leaf in leaves(network(images)) if isinstance(leaf, Tensor)]
    values = forward_pass.run(images)
    found = [values[number] for number in forward_pass.outputs]
    same_kind = len(found) == len(expected)
    if not same_kind or not all(torch.allclose(a, b, 1e-4, 1e-5, equal_nan=True) for a, b in zip(found, expected)):
        raise ValueError(
            f"the filters of {type(network).__name__} can't be followed: its forward pass is random in eval mode, "
            "depends on the values of the images, or uses operations that torch doesn't announce; rewrite those"
        )
