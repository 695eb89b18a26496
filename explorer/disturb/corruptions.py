"""Natural disturbances of five severities, with the constants of ImageNet-C, Tiny-ImageNet-C and CIFAR-10-C.

Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261, and the code of https://github.com/hendrycks/robustness:
one set for 224 px, one for 64 and one for 32, applied to what the model sees, after resize and crop. At another size
lengths (blurs) scale with the shorter side; noise, quality and contrast are relative to a pixel's range and stay. Where
this is not what they do: blurs weigh each pixel by its area, Gaussian or disc, where they sample a Gaussian at the
pixels' centres and blur a jagged disc; values are rounded, where they are cut; their files end as JPEG, here on demand.
Occlusion is ours: they have none.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image

from explorer.settings import Option
from explorer.types import ExplorerError, Picture

Colours = Float[np.ndarray, "height width 3"]

SEVERITIES = (1, 2, 3, 4, 5)
FINAL_QUALITY = 85
"""Of the JPEG as which the files of ImageNet-C and Tiny-ImageNet-C were saved."""
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


@dataclass(frozen=True, eq=False)
class Corrupted:
    """A disturbed picture and how it came about."""

    rgb: Picture
    kind: Corruption
    strength: float
    """1 to 5 are the published severities, 0 the picture itself, numbers between interpolate the parameter."""
    seed: int
    parameter: float
    """What the strength means, see `Scale`; at this picture's size."""
    final_jpeg: bool = False

    def sentence(self) -> str:
        """The settings in words."""
        scale = constants_for(min(self.rgb.shape[:2])).scales[self.kind]
        if self.strength == 0:
            return f"{self.kind.label}, strength 0: the picture itself."
        last = f", then JPEG of quality {FINAL_QUALITY}" if self.final_jpeg else ""
        return f"{self.kind.label}, strength {self.strength:g}: {scale.meaning} {self.parameter:.3g}{scale.unit}{last}."


@dataclass(frozen=True)
class Scale:
    """The parameter of a corruption at severities 0 to 5; 0 leaves the picture alone."""

    meaning: str
    values: tuple[float, ...]
    unit: str = ""
    is_length: bool = False
    """Whether it is in pixels and scales with the picture."""
    softness: tuple[float, ...] = (0, 0, 0, 0, 0, 0)
    """Standard deviation of a Gaussian blur that follows, in pixels."""


@dataclass(frozen=True)
class Constants:
    """A published set: its name, the side of its pictures, and a scale for each corruption."""

    name: str
    side: int
    scales: Mapping[Corruption, Scale]

    def parameter(self, kind: Corruption, strength: float, side: int) -> float:
        """The parameter, linear between severities, for a picture of this shorter side."""
        scale = self.scales[kind]
        return self._at(scale.values, strength, side if scale.is_length else self.side)

    def softness(self, kind: Corruption, strength: float, side: int) -> float:
        """Of the blur that follows, in pixels of such a picture."""
        return self._at(self.scales[kind].softness, strength, side)

    def _at(self, values: Sequence[float], strength: float, side: int) -> float:
        return float(np.interp(strength, range(len(values)), values)) * side / self.side


def _scales(
    noise: Sequence[float],
    photons: Sequence[float],
    radius: Sequence[float],
    blur: Sequence[float],
    quality: Sequence[float],
    contrast: Sequence[float],
    softness: Sequence[float] = (0, 0, 0, 0, 0),
) -> dict[Corruption, Scale]:
    shot = tuple(count**-0.5 for count in photons)  # the noise is what grows evenly, and is 0 at strength 0
    return {
        Corruption.GAUSSIAN_NOISE: Scale("standard deviation", (0, *noise), " of the range"),
        Corruption.SHOT_NOISE: Scale("standard deviation at white", (0, *shot), " of the range"),
        Corruption.DEFOCUS_BLUR: Scale("disc of radius", (0, *radius), " px", True, (0, *softness)),
        Corruption.GAUSSIAN_BLUR: Scale("standard deviation", (0, *blur), " px", True),
        Corruption.JPEG: Scale("quality", (100, *quality)),
        Corruption.CONTRAST: Scale("remaining contrast", (1, *contrast)),
        Corruption.OCCLUSION: Scale("share of the area covered", (0, 0.05, 0.1, 0.2, 0.3, 0.4)),
    }


IMAGENET_C = Constants(
    "ImageNet-C",
    224,
    _scales(  # its discs are large and blurred by 0.1 to 0.5 px against their jags: weights by area have none
        noise=(0.08, 0.12, 0.18, 0.26, 0.38),
        photons=(60, 25, 12, 5, 3),
        radius=(3, 4, 6, 8, 10),
        blur=(1, 2, 3, 4, 6),
        quality=(25, 18, 15, 10, 7),
        contrast=(0.4, 0.3, 0.2, 0.1, 0.05),
    ),
)
TINY_IMAGENET_C = Constants(
    "Tiny-ImageNet-C",
    64,
    _scales(  # a disc within its pixel does nothing: all of the first severity is its softness
        noise=(0.04, 0.08, 0.12, 0.15, 0.18),
        photons=(250, 100, 50, 30, 15),
        radius=(0.5, 1, 1.5, 2.5, 3),
        softness=(0.6, 0.1, 0.1, 0.01, 0.1),
        blur=(0.5, 0.75, 1, 1.25, 1.5),
        quality=(65, 58, 50, 40, 25),
        contrast=(0.4, 0.3, 0.2, 0.1, 0.05),
    ),
)
CIFAR_10_C = Constants(
    "CIFAR-10-C",
    32,
    _scales(
        noise=(0.04, 0.06, 0.08, 0.09, 0.10),
        photons=(500, 250, 100, 75, 50),
        radius=(0.3, 0.4, 0.5, 1, 1.5),
        softness=(0.4, 0.5, 0.6, 0.2, 0.1),
        blur=(0.4, 0.6, 0.7, 0.8, 1),
        quality=(80, 65, 58, 50, 40),
        contrast=(0.75, 0.5, 0.4, 0.3, 0.15),
    ),
)


def constants_for(side: int) -> Constants:
    """The set for pictures of this shorter side: the nearest, but for 224 px down to half of that."""
    return IMAGENET_C if side >= 112 else TINY_IMAGENET_C if side >= 48 else CIFAR_10_C


def severities(kind: Corruption, side: int) -> str:
    """What the severities of a corruption are on pictures of this shorter side, as a sentence."""
    constants = constants_for(side)
    scale = constants.scales[kind]
    values = ", ".join(f"{value:.3g}" for value in scale.values[1:])
    length = f" on {constants.side} px, in proportion here" if scale.is_length and side != constants.side else ""
    none = "; ImageNet-C has no occlusion" if kind is Corruption.OCCLUSION else ""
    return f"Severities 1 to 5: {scale.meaning} {values}{scale.unit}{length}{none}."


def source(kind: Corruption, side: int) -> str:
    """Whose severities those are, and for which size they were made where it is not this one."""
    constants = constants_for(side)
    if kind is Corruption.OCCLUSION:
        return "Ours"
    other = "" if side == constants.side else f", made for {constants.side} px"
    return f"As in {constants.name} (Hendrycks and Dietterich 2019){other}"


def corrupt(rgb: Picture, kind: Corruption, strength: float, seed: int = 0, *, final_jpeg: bool = False) -> Corrupted:
    """The disturbed picture, at last through a JPEG as ImageNet-C's files are; the same seed gives the same pixels.

    Gaussian noise is one field at every strength, and occlusions grow around one point; photons are drawn anew.
    Raises `ExplorerError` for a strength outside 0 to 5.
    """
    if not 0 <= strength <= SEVERITIES[-1]:  # NaN is neither
        raise ExplorerError(f"A strength from 0 to {SEVERITIES[-1]} was expected; {strength:g} came.")
    side = min(rgb.shape[:2])
    constants = constants_for(side)
    parameter = constants.parameter(kind, strength, side)
    if strength == 0:
        return Corrupted(rgb.copy(), kind, strength, seed, parameter)
    random = np.random.default_rng((seed, zlib.crc32(kind.name.encode())))
    values = DISTURBANCES[kind](rgb.astype(np.float64) / 255.0, parameter, random)
    if softness := constants.softness(kind, strength, side):
        values = _softened(values, softness, "mirror")
    if final_jpeg:
        values = _jpeg(np.clip(values, 0.0, 1.0), FINAL_QUALITY, random)
    pixels = np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)
    return Corrupted(pixels, kind, strength, seed, parameter, final_jpeg)


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
    return _softened(x, deviation, "nearest")


def _softened(x: Colours, deviation: float, mode: str) -> Colours:
    from scipy.ndimage import correlate1d

    kernel = gaussian(deviation)
    blurred: Colours = correlate1d(correlate1d(x, kernel, axis=0, mode=mode), kernel, axis=1, mode=mode)
    return blurred


def gaussian(deviation: float) -> Float[np.ndarray, " side"]:
    """Integral over each pixel of a Gaussian whose width makes `deviation` that of the weights; they sum to 1.

    The pixel itself widens a blur by 1/12 px^2, which is half of what severity 1 of 64 px asks for: the Gaussian is
    narrower by that, so that large blurs are those of sampled Gaussians, and small ones do something at any width.
    """
    from scipy.optimize import brentq  # type: ignore[import-untyped]
    from scipy.special import ndtr  # type: ignore[import-untyped]

    reach = max(1, round(4 * deviation))
    edges = np.arange(-reach, reach + 2) - 0.5
    offsets = np.arange(-reach, reach + 1)

    def weights(width: float) -> Float[np.ndarray, " side"]:
        shares: Float[np.ndarray, " side"] = np.diff(ndtr(edges / width))
        shares /= shares.sum()
        return shares

    def excess(width: float) -> float:
        return float(weights(width) @ offsets**2) - deviation**2

    return weights(brentq(excess, 0.01, deviation + 0.3))


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
