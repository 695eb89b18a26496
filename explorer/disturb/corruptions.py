"""Natural disturbances of five severities, as in ImageNet-C.

Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261: the constants are those of its 224 px images, applied to
what the model sees, after resize and crop. At another size lengths (blurs) scale with the shorter side over 224; noise,
quality and contrast are relative to a pixel's range and stay. Defocus is the disc alone, each pixel weighted by its
covered area, where ImageNet-C blurs a jagged disc by 0.1 to 0.5 px. Occlusion is ours: ImageNet-C has none.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image

from explorer.settings import Option
from explorer.types import ExplorerError, Picture

Colours = Float[np.ndarray, "height width 3"]

SEVERITIES = (1, 2, 3, 4, 5)
REFERENCE_SIDE = 224
_OVERSAMPLED = 8


class Corruption(Option):
    """What happens to the picture."""

    GAUSSIAN_NOISE = "gaussian-noise", "Gaussian noise"
    SHOT_NOISE = "shot-noise", "Shot noise"
    DEFOCUS_BLUR = "defocus-blur", "Defocus blur"
    GAUSSIAN_BLUR = "gaussian-blur", "Gaussian blur"
    JPEG = "jpeg", "JPEG"
    CONTRAST = "contrast", "Contrast"
    OCCLUSION = "occlusion", "Occlusion"


def severities(kind: Corruption) -> str:
    """What the severities of a corruption are, as a sentence."""
    scale = SCALES[kind]
    values = ", ".join(f"{value:.3g}" for value in scale.values[1:])
    length = " on 224 px, in proportion here" if scale.is_length else ""
    return f"Severities 1 to 5: {scale.meaning} {values}{scale.unit}{length}."


@dataclass(frozen=True, eq=False)
class Corrupted:
    """A disturbed picture and how it came about."""

    rgb: Picture
    kind: Corruption
    strength: float
    """1 to 5 are ImageNet-C's severities, 0 the picture itself, numbers between interpolate the parameter."""
    seed: int
    parameter: float
    """What the strength means, see `Scale`; at this picture's size."""

    def sentence(self) -> str:
        """The settings in words."""
        scale = SCALES[self.kind]
        if self.strength == 0:
            return f"{self.kind.label}, strength 0: the picture itself."
        return f"{self.kind.label}, strength {self.strength:g}: {scale.meaning} {self.parameter:.3g}{scale.unit}."


@dataclass(frozen=True)
class Scale:
    """The parameter of a corruption at severities 0 to 5; 0 leaves the picture alone."""

    meaning: str
    values: tuple[float, float, float, float, float, float]
    unit: str = ""
    is_length: bool = False
    """Whether it is in pixels and scales with the picture."""

    def at(self, strength: float, side: int) -> float:
        """The parameter, linear between severities, for a picture of this shorter side."""
        value = float(np.interp(strength, range(len(self.values)), self.values))
        return value * side / REFERENCE_SIDE if self.is_length else value


SCALES: dict[Corruption, Scale] = {
    Corruption.GAUSSIAN_NOISE: Scale("standard deviation", (0, 0.08, 0.12, 0.18, 0.26, 0.38), " of the range"),
    # ImageNet-C counts photons: 60, 25, 12, 5, 3 at white. Their noise is what grows evenly, and is 0 at strength 0.
    Corruption.SHOT_NOISE: Scale(
        "standard deviation at white",
        (0, 60**-0.5, 25**-0.5, 12**-0.5, 5**-0.5, 3**-0.5),
        " of the range",
    ),
    Corruption.DEFOCUS_BLUR: Scale("disc of radius", (0, 3, 4, 6, 8, 10), " px", is_length=True),
    Corruption.GAUSSIAN_BLUR: Scale("standard deviation", (0, 1, 2, 3, 4, 6), " px", is_length=True),
    Corruption.JPEG: Scale("quality", (100, 25, 18, 15, 10, 7)),
    Corruption.CONTRAST: Scale("remaining contrast", (1, 0.4, 0.3, 0.2, 0.1, 0.05)),
    Corruption.OCCLUSION: Scale("share of the area covered", (0, 0.05, 0.1, 0.2, 0.3, 0.4)),
}


def corrupt(rgb: Picture, kind: Corruption, strength: float, seed: int = 0) -> Corrupted:
    """The disturbed picture; the same seed gives the same pixels.

    Gaussian noise is one field at every strength, and occlusions grow around one point; photons are drawn anew.
    Raises `ExplorerError` for a strength outside 0 to 5.
    """
    if not 0 <= strength <= SEVERITIES[-1]:  # NaN is neither
        raise ExplorerError(f"A strength from 0 to {SEVERITIES[-1]} was expected; {strength:g} came.")
    parameter = SCALES[kind].at(strength, min(rgb.shape[:2]))
    if strength == 0:
        return Corrupted(rgb.copy(), kind, strength, seed, parameter)
    random = np.random.default_rng((seed, zlib.crc32(kind.name.encode())))
    values = DISTURBANCES[kind](rgb.astype(np.float64) / 255.0, parameter, random)
    pixels = np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)
    return Corrupted(pixels, kind, strength, seed, parameter)


def _gaussian_noise(x: Colours, deviation: float, random: np.random.Generator) -> Colours:
    return x + deviation * random.standard_normal(x.shape)


def _shot_noise(x: Colours, deviation: float, random: np.random.Generator) -> Colours:
    photons = deviation**-2
    return random.poisson(x * photons) / photons


def _defocus_blur(x: Colours, radius: float, random: np.random.Generator) -> Colours:
    from scipy.ndimage import convolve  # type: ignore[import-untyped]

    kernel = disc(radius)
    return np.stack([convolve(channel, kernel, mode="mirror") for channel in np.moveaxis(x, 2, 0)], axis=2)


def disc(radius: float) -> Float[np.ndarray, "side side"]:
    """Share of each pixel that a disc of this radius around the central pixel's centre covers; sums to 1."""
    reach = math.ceil(radius - 0.5) if radius > 0.5 else 0
    side = (2 * reach + 1) * _OVERSAMPLED
    line = (np.arange(side) + 0.5) / _OVERSAMPLED - side / (2 * _OVERSAMPLED)
    inside = (line[:, None] ** 2 + line**2 <= radius**2).astype(np.float64)
    covered = inside.reshape(2 * reach + 1, _OVERSAMPLED, 2 * reach + 1, _OVERSAMPLED).mean(axis=(1, 3))
    total = covered.sum()
    return covered / total if total else np.ones((1, 1))


def _gaussian_blur(x: Colours, deviation: float, random: np.random.Generator) -> Colours:
    from scipy.ndimage import gaussian_filter

    blurred: Colours = gaussian_filter(x, (deviation, deviation, 0), mode="nearest", truncate=4.0)
    return blurred


def _jpeg(x: Colours, quality: float, random: np.random.Generator) -> Colours:
    stream = io.BytesIO()
    Image.fromarray(np.rint(x * 255.0).astype(np.uint8)).save(stream, "JPEG", quality=round(quality))
    return np.asarray(Image.open(stream, formats=("JPEG",))).astype(np.float64) / 255.0


def _contrast(x: Colours, remaining: float, random: np.random.Generator) -> Colours:
    mean = x.mean(axis=(0, 1))  # of each channel
    lowered: Colours = mean + remaining * (x - mean)
    return lowered


def _occlusion(x: Colours, share: float, random: np.random.Generator) -> Colours:
    """A mid-grey rectangle of the picture's aspect; it grows around one point, so that strengths contain each other."""
    anchor = random.random(2)
    covered = x.copy()
    lengths = [round(length * math.sqrt(share)) for length in x.shape[:2]]
    top, left = (
        math.floor(where * (length - side)) for where, length, side in zip(anchor, x.shape[:2], lengths, strict=True)
    )
    covered[top : top + lengths[0], left : left + lengths[1]] = 0.5
    return covered


DISTURBANCES: dict[Corruption, Callable[[Colours, float, np.random.Generator], Colours]] = {
    Corruption.GAUSSIAN_NOISE: _gaussian_noise,
    Corruption.SHOT_NOISE: _shot_noise,
    Corruption.DEFOCUS_BLUR: _defocus_blur,
    Corruption.GAUSSIAN_BLUR: _gaussian_blur,
    Corruption.JPEG: _jpeg,
    Corruption.CONTRAST: _contrast,
    Corruption.OCCLUSION: _occlusion,
}
