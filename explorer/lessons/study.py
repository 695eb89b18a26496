"""One noisy photograph through nonlocal means, from its weights to its numbers, computed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from explorer.lessons import nonlocal_means
from explorer.lessons.nonlocal_means import Denoised, FloatPicture, MeansSettings, Windowed
from explorer.lessons.progress import Interim
from explorer.lessons.quality import Lost, Quality, quality

_WEIGHING = 12
"""Reports while weights are computed, by which the rest of the work is measured."""


@dataclass(frozen=True, eq=False)
class Study:
    """A photograph, its noisy version denoised, and how close each picture comes to it."""

    clean: FloatPicture
    denoised: Denoised
    lost: tuple[Lost, Lost]
    """What `A` and what `2A - A^2` take away."""
    noisy: Quality
    standard: Mapping[int, Quality]
    """`A^n V` by n."""
    twicing: Mapping[int, Quality]
    """`(2A - A^2)^n V` by n."""

    @property
    def gain(self) -> float:
        """PSNR of twicing once minus that of smoothing once, in dB: negative where smoothing once is better."""
        return self.twicing[1].psnr - self.standard[1].psnr

    @property
    def nbytes(self) -> int:
        done = self.denoised
        pictures = [self.clean, done.noisy, done.smoothed, done.residual, done.twiced]
        pictures += [by_times[n] for by_times in (done.standard, done.twicing) for n in by_times if n > 1]
        pictures += [part for lost in self.lost for part in (lost.structure, lost.noise)]
        return sum(picture.nbytes for picture in pictures)


def study(
    clean: FloatPicture, noisy: FloatPicture, settings: MeansSettings, times: Sequence[int] = (1,)
) -> Iterator[Interim[Study | None]]:
    """Weights from the noisy picture, both filters up to the largest of `times`, and the numbers.

    Reports often; a report has a result once both filters were applied once, and that result grows. Raises
    `ExplorerError` for a picture smaller than a patch, or than 11 px a side.
    """
    before = quality(noisy, clean)
    total = _WEIGHING + 3 * max(times) + 2
    weights: Windowed | None = None
    for report in nonlocal_means.windowed(noisy, settings):
        weights = report.result
        yield Interim(round(_WEIGHING * report.share), total, report.doing, None)
    assert weights is not None
    yield Interim(_WEIGHING, total, "telling structure from noise", None)
    taken = clean - weights.apply(clean)
    structure = taken, taken - weights.apply(taken)  # of A, and of 2A - A^2: I - (2A - A^2) = (I - A)^2
    standard: dict[int, Quality] = {}
    twicing: dict[int, Quality] = {}
    result: Study | None = None
    for step in nonlocal_means.denoise(noisy, weights, sorted({1, *times})):
        if step.result is not None and (result is None or len(step.result.standard) > len(standard)):
            for pictures, numbers in ((step.result.standard, standard), (step.result.twicing, twicing)):
                numbers.update({n: quality(picture, clean) for n, picture in pictures.items() if n not in numbers})
            residuals = step.result.residual, noisy - step.result.twiced
            # The filters are linear: what is not structure of what they take is noise.
            parts = [Lost(signal, residual - signal) for signal, residual in zip(structure, residuals, strict=True)]
            result = Study(clean, step.result, (parts[0], parts[1]), before, dict(standard), dict(twicing))
        yield Interim(_WEIGHING + 2 + step.done, total, step.doing, result)
