"""Nonlocal means as a matrix: every pixel becomes a weighted mean of pixels whose patches look alike.

`W_ij = exp(-|P_i - P_j|^2 / h^2)` with the weighted mean of squares over the pixels and channels of a patch, whose
weights are a Gaussian of standard deviation `(patch - 1) / 4` px around its middle; `A = D^-1 W`. Weights come from the
noisy picture once and stay as they are: everything here is linear in the picture it is applied to, and no noise
variance is taken off the distances. Patches reach beyond the picture by reflection, neighbours do not.

Two filters share that definition. `Dense` weighs all pairs of a small crop: `W` is positive semidefinite, so the
spectrum of `A` is real and in [0, 1]. `Windowed` weighs the pairs within a search window of a photograph; its spectrum
is real too, but a hard window may push eigenvalues a little below 0.

Buades, Coll & Morel, "A non-local algorithm for image denoising" (2005); paper Sec. 3.1 and 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.ndimage import correlate1d  # type: ignore[import-untyped]

from explorer.lessons.progress import Interim
from explorer.types import ExplorerError, Size

FloatPicture = Float[np.ndarray, "height width channel"]
"""Intensities, 0 black and 1 white. Noise and filters with negative entries leave [0, 1]: nothing is clipped here."""

LONGEST = 256
"""Photographs are worked on with their longer side at most this many pixels."""
LARGEST_CROP = 32
"""`Dense` has the fourth power of this many entries."""
TIMES = (1, 2, 6, 12)
"""How often the filter is applied in the paper's Fig. 3."""
_CHUNKS = 12
"""Reports while weights are computed."""


@dataclass(frozen=True)
class MeansSettings:
    """Sides of patch and search window in pixels, both odd, and the bandwidth `h` in units of intensity."""

    bandwidth: float = 0.1
    patch: int = 5
    window: int = 21

    def __post_init__(self) -> None:
        for name, side in (("patch", self.patch), ("search window", self.window)):
            if side < 1 or side % 2 == 0:
                raise ExplorerError(f"An odd number of pixels was expected as the side of the {name}; {side} came.")
        if not (math.isfinite(self.bandwidth) and self.bandwidth > 0):
            raise ExplorerError(f"A bandwidth above 0 was expected; {self.bandwidth} came.")


@dataclass(frozen=True, eq=False)
class Dense:
    """All pairs of pixels of a crop, in float64."""

    size: Size
    weights: Float[np.ndarray, "query key"]
    """`W`, symmetric and positive semidefinite, ones on the diagonal."""

    @cached_property
    def degrees(self) -> Float[np.ndarray, " query"]:
        return np.asarray(self.weights.sum(axis=1))

    @cached_property
    def matrix(self) -> Float[np.ndarray, "query key"]:
        """`A = D^-1 W`."""
        return np.asarray(self.weights / self.degrees[:, None])

    @cached_property
    def eigenvalues(self) -> Float[np.ndarray, " query"]:
        """Eigenvalues of `A`, largest first: those of `D^-1/2 W D^-1/2`, real and in [0, 1] up to rounding."""
        root = np.sqrt(self.degrees)
        return np.asarray(np.linalg.eigvalsh(self.weights / root[:, None] / root)[::-1])

    def apply(self, picture: FloatPicture) -> FloatPicture:
        columns = picture.reshape(len(self.matrix), -1)  # (H W, C)
        smoothed: FloatPicture = (self.matrix @ columns).reshape(picture.shape)
        return smoothed

    def row(self, y: int, x: int) -> Float[np.ndarray, "height width"]:
        """The weights that make up one pixel, as a map; they sum to 1."""
        return np.asarray(self.matrix[y * self.size[1] + x].reshape(self.size))


@dataclass(frozen=True, eq=False)
class Windowed:
    """Pairs of pixels within a search window, in float32.

    `weights[o, y, x]` joins the pixels `(y, x)` and `(y, x) + offsets[o]`, 0 where the second lies outside. The
    offsets are one of each pair of opposite ones: `W` is symmetric, with ones on the diagonal.
    """

    size: Size
    offsets: tuple[tuple[int, int], ...]
    weights: Float[np.ndarray, "offset height width"]

    @cached_property
    def degrees(self) -> Float[np.ndarray, "height width"]:
        return np.asarray(self._sums(np.ones((1, *self.size), dtype=np.float32))[0])

    def apply(self, picture: FloatPicture) -> FloatPicture:
        channels = np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32)
        return np.ascontiguousarray((self._sums(channels) / self.degrees).transpose(1, 2, 0))

    @property
    def nbytes(self) -> int:
        return int(self.weights.nbytes)

    def _sums(self, channels: Float[np.ndarray, "channel height width"]) -> Float[np.ndarray, "channel height width"]:
        """`W` times a picture."""
        sums = channels.copy()
        for offset, weights in zip(self.offsets, self.weights, strict=True):
            here, there = _overlap(self.size, offset)
            inside = weights[here]
            sums[:, *here] += inside * channels[:, *there]
            sums[:, *there] += inside * channels[:, *here]
        return sums


PixelWeights = Dense | Windowed
"""A matrix `A` with rows that sum to 1, to `apply` to a picture channel by channel."""


@dataclass(frozen=True, eq=False)
class Denoised:
    """A picture through one filter: the steps of twicing, and both filters again and again with the same weights."""

    noisy: FloatPicture
    smoothed: FloatPicture
    """`A V`: nonlocal means once."""
    residual: FloatPicture
    """`V - A V`, the method noise; structure in it is what smoothing took from the picture."""
    twiced: FloatPicture
    """`A V + A (V - A V)`."""
    standard: dict[int, FloatPicture]
    """`A^n V` by n."""
    twicing: dict[int, FloatPicture]
    """`(2A - A^2)^n V` by n."""

    @property
    def smoothed_residual(self) -> FloatPicture:
        """`A (V - A V)`."""
        return np.asarray(self.twiced - self.smoothed)


def working_view(rgb: UInt8[np.ndarray, "_ _ 3"], longest: int = LONGEST) -> Float[np.ndarray, "height width 3"]:
    """A photograph as float32 intensities, its longer side at most `longest` px."""
    height, width = rgb.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = Image.fromarray(rgb) if scale == 1.0 else Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def crop(
    picture: FloatPicture, top: int, left: int, side: int = LARGEST_CROP
) -> Float[np.ndarray, "{side} {side} channel"]:
    """A square of the picture. Raises `ExplorerError` where it would leave the picture."""
    if min(top, left) < 0 or top + side > picture.shape[0] or left + side > picture.shape[1] or side < 1:
        came = f"{side} px from row {top} and column {left}"
        raise ExplorerError(f"A crop within {picture.shape[0]} × {picture.shape[1]} px was expected; {came} came.")
    return picture[top : top + side, left : left + side]


def add_noise(picture: FloatPicture, noise: float, seed: int = 0) -> FloatPicture:
    """The picture plus normal noise of standard deviation `noise`, in float32; a seed gives one draw at every level."""
    if not (math.isfinite(noise) and noise >= 0):
        raise ExplorerError(f"A standard deviation of at least 0 was expected as noise; {noise} came.")
    draw = np.random.default_rng(seed).standard_normal(picture.shape, dtype=np.float32)
    return np.asarray(picture + np.float32(noise) * draw, dtype=np.float32)


def dense(guide: FloatPicture, settings: MeansSettings) -> Dense:
    """Weights between all pairs of pixels; the search window is not used. At most 32 px a side."""
    height, width, channels = guide.shape
    if max(height, width) > LARGEST_CROP:
        raise ExplorerError(
            f"A crop of at most {LARGEST_CROP} × {LARGEST_CROP} px was expected; {height} × {width} came."
        )
    taps = patch_taps(settings.patch)
    patches = np.lib.stride_tricks.sliding_window_view(
        _reflected(guide.astype(np.float64).transpose(2, 0, 1), settings.patch // 2), (settings.patch,) * 2, axis=(1, 2)
    )  # (C, H, W, patch, patch)
    weighted = patches * np.sqrt(np.outer(taps, taps) / channels)
    P = weighted.transpose(1, 2, 0, 3, 4).reshape(height * width, -1)
    P = P - P.mean(axis=0)  # distances do not change, and lose fewer digits
    squares = (P**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * P @ P.T, 0.0)
    np.fill_diagonal(distances, 0.0)
    return Dense((height, width), _affinity(distances / settings.bandwidth**2))


def windowed(guide: FloatPicture, settings: MeansSettings) -> Iterator[Interim[Windowed | None]]:
    """Weights between pixels of one search window; reports a dozen times, and has the filter in the last report."""
    height, width, channels = guide.shape
    if max(height, width) > LONGEST:
        raise ExplorerError(f"A picture of at most {LONGEST} px a side was expected; {height} × {width} came.")
    radius, reach = settings.patch // 2, settings.window // 2
    padded = _reflected(np.ascontiguousarray(guide.transpose(2, 0, 1), dtype=np.float32), radius)
    taps = patch_taps(settings.patch).astype(np.float32)
    offsets = [
        (dy, dx)
        for dy in range(min(reach, height - 1) + 1)
        for dx in range(-min(reach, width - 1), min(reach, width - 1) + 1)
        if dy > 0 or dx > 0
    ]
    weights = np.zeros((len(offsets), height, width), dtype=np.float32)
    scale = np.float32(1 / (channels * settings.bandwidth**2))
    chunk = max(1, math.ceil(len(offsets) / _CHUNKS))
    for index, offset in enumerate(offsets):
        if index % chunk == 0:
            yield Interim(index // chunk, _CHUNKS, "comparing patches", None)
        here, there = _overlap((height + 2 * radius, width + 2 * radius), offset)
        squares = ((padded[:, *here] - padded[:, *there]) ** 2).sum(axis=0)
        for axis in (0, 1):
            squares = correlate1d(squares, taps, axis=axis)
        inside = squares[radius : squares.shape[0] - radius, radius : squares.shape[1] - radius]
        weights[index][_overlap((height, width), offset)[0]] = _affinity(inside * scale)
    yield Interim(_CHUNKS, _CHUNKS, "comparing patches", Windowed((height, width), tuple(offsets), weights))


def denoise(
    noisy: FloatPicture, weights: PixelWeights, times: Sequence[int] = TIMES
) -> Iterator[Interim[Denoised | None]]:
    """Both filters applied up to the largest of `times`; a report after each application of `A`.

    The first report that has a result comes after two applications and holds `n = 1`; then it grows.
    """
    if not times or min(times) < 1:
        raise ExplorerError(f"Numbers of applications from 1 on were expected; {list(times)} came.")
    most = max(times)
    standard, twicing = noisy, noisy
    kept: tuple[dict[int, FloatPicture], dict[int, FloatPicture]] = {}, {}
    result: Denoised | None = None
    for n in range(1, most + 1):
        smoothed = weights.apply(twicing)
        # Both start from the same picture: the first smoothing is shared.
        standard = smoothed if n == 1 else weights.apply(standard)
        yield Interim(3 * n - 2, 3 * most, f"smoothing, {n} of {most}", result)
        twicing = smoothed + weights.apply(twicing - smoothed)
        for picture, pictures in zip((standard, twicing), kept, strict=True):
            if n in times:
                pictures[n] = picture
        if n == 1:
            first = smoothed, np.asarray(noisy - smoothed), twicing
        result = Denoised(noisy, *first, dict(kept[0]), dict(kept[1]))
        yield Interim(3 * n, 3 * most, f"smoothing, {n} of {most}", result)


def patch_taps(side: int) -> Float[np.ndarray, " tap"]:
    """The Gaussian of a patch along one axis, standard deviation `(side - 1) / 4` px; sums to 1."""
    if side == 1:
        return np.ones(1)
    taps = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * ((side - 1) / 4) ** 2))
    return np.asarray(taps / taps.sum())


def _affinity(distances: Float[np.ndarray, "_ _"]) -> Float[np.ndarray, "_ _"]:
    return np.asarray(np.exp(-distances))


def _reflected(channels: Float[np.ndarray, "channel _ _"], radius: int) -> Float[np.ndarray, "channel _ _"]:
    if min(channels.shape[1:]) <= radius:
        raise ExplorerError(
            f"A picture wider and higher than {radius} px was expected for such patches; "
            f"{channels.shape[1]} × {channels.shape[2]} px came."
        )
    return np.pad(channels, ((0, 0), (radius, radius), (radius, radius)), mode="reflect")


def _overlap(size: Size, offset: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Pixels whose partner at the offset is inside, and their partners."""
    here = tuple(slice(max(0, -d), n - max(0, d)) for n, d in zip(size, offset, strict=True))
    there = tuple(slice(max(0, d), n - max(0, -d)) for n, d in zip(size, offset, strict=True))
    return (here[0], here[1]), (there[0], there[1])
