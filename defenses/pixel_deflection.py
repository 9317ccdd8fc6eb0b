"""Replace pixels by neighbours."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn

from defenses.activation_maps import ActivationMap
from defenses.defense import Defense
from defenses.deflection_modes import Mode, ModeName, Window, mode_of
from defenses.replacement import Replacement, ReplacementName, replacement_of
from defenses.sampling import Sampling, SamplingName, sampling_of
from options import check_at_least, check_whole


class PixelDeflection(Defense):
    """Replace some pixels by others from near by, fewer where the network looks (backward pass: exact).

    Prakash 2019, algorithm 2; Prakash et al. 2018, "Deflecting Adversarial Attacks with Pixel Deflection", arXiv
    1801.08926. The thesis denoises afterwards: ``Sequence([PixelDeflection(...), WaveletDenoise()])``.

    Args:
        deflections: so many draws, at least 0.
        window: apothem in pixels of the square that replacements come from; the default is for images of 224 pixels,
            for 32 take about 1. Above the image's smaller side it is the whole image.
        activation_map: where pixels shall stay; they do with the map's value as the probability. None: nowhere.
        mode: ``paper`` is the thesis's algorithm, ``authors`` what the authors' program does; or an object.
        sampling: ``uniform`` or ``gaussian`` within the window; or an object.
        replacement: ``random``, or the window's ``min``, ``max`` or ``mean``; or an object.
    """

    random = True

    def __init__(
        self,
        deflections: int = 100,
        window: int = 10,
        activation_map: ActivationMap | None = None,
        mode: Mode | ModeName = "paper",
        sampling: Sampling | SamplingName = "uniform",
        replacement: Replacement | ReplacementName = "random",
    ) -> None:
        super().__init__()
        check_whole(self, deflections=deflections, window=window)
        check_at_least(self, 0, deflections=deflections, window=window)
        self.deflections, self.window, self.activation_map = deflections, window, activation_map
        self.mode, self.sampling, self.replacement = mode_of(mode), sampling_of(sampling), replacement_of(replacement)
        self.mode.check(self._window(0))

    def attach(self, network: nn.Module) -> None:
        if self.activation_map is not None:
            self.activation_map.attach(network)

    @contextmanager
    def looking_once(self, images: Tensor, keys: Tensor | None = None) -> Iterator[None]:
        with (
            super().looking_once(images, keys),
            self.activation_map.looking_once() if self.activation_map else nullcontext(),
        ):
            yield

    def restore(self, images: Tensor, run: int) -> Tensor:
        height, width = images.shape[2:]
        whole = self.window > min(height, width)
        window = self._window(max(height, width) - 1 if whole else self.window)
        maps = None if self.activation_map is None else self.activation_map(images)
        return self.mode.deflect(images, maps, self.deflections, window, self.streams(images, run))

    def _window(self, reach: int) -> Window:
        return Window(reach, self.sampling, self.replacement)
