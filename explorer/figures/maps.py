"""Maps over the patch grid, overlaid on the photograph."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from explorer.figures.settings import Look
from explorer.figures.style import Range, lookup_table, scale_name
from explorer.types import Size

ScreenPicture = UInt8[np.ndarray, "rows columns 3"]
Map = Float[np.ndarray, "height width"]

_GREY = 0.8
"""How far the photograph under a map loses its colour, and how dim it gets."""
_DIM = 0.72


def draw(photograph: ScreenPicture, values: Map, range: Range, look: Look) -> ScreenPicture:
    """The photograph, dim and nearly grey, under a map whose colour and opacity both carry the value.

    Opacity grows with the magnitude, so that low values leave the photograph as it is.
    """
    rgba = coloured(values, range, look, (photograph.shape[0], photograph.shape[1]))
    alpha = rgba[..., 3:]
    blended: ScreenPicture = (_base(photograph) * (1 - alpha) + rgba[..., :3] * alpha).round().astype(np.uint8)
    return blended


def coloured(values: Map, range: Range, look: Look, size: Size) -> Float[np.ndarray, "rows columns 4"]:
    """The map alone, `size` pixels: red, green and blue in 0..255, and opacity in 0..1."""
    if look.smooth:
        fine = refined(values, size)
    else:
        fine = np.asarray(Image.fromarray(values.astype(np.float32)).resize(size[::-1], Image.Resampling.NEAREST))
    unit = range.unit(fine)
    strength = np.abs(2 * unit - 1) if range.signed else unit
    colours = lookup_table(scale_name(look.colour_map, range))[(unit * 255).round().astype(np.uint8)]
    # Small signed values are nearly white: what they get of opacity would lie on the photograph like haze.
    alpha = look.opacity * strength ** (1.0 if range.signed else 0.6)
    return np.concatenate([colours, alpha[..., None]], axis=-1, dtype=np.float32)


def refined(values: Map, size: Size) -> Float[np.ndarray, "rows columns"]:
    """Values on a finer grid of `size` pixels: monotone cubic curves through them, downwards and then across.

    A curve has no corners and never leaves the range between two neighbours (Fritsch & Carlson 1980), so that there is
    no ring of the other sign around a bright patch. Beyond the outermost centres values stay what they are there.
    """
    fine = values.astype(np.float64)
    for axis, length in enumerate(size):
        places = (np.arange(length) + 0.5) * values.shape[axis] / length - 0.5
        fine = np.moveaxis(_curves(np.moveaxis(fine, axis, 0), places), 0, axis)
    return fine.astype(np.float32)


def _curves(values: Float[np.ndarray, "node other"], places: Float[np.ndarray, " place"]) -> np.ndarray:
    """Cubics between nodes 0, 1, ... whose slopes are harmonic means of the steps beside them, and 0 at the ends.

    SciPy's PCHIP, which is 0.3 s to import.
    """
    last = len(values) - 1
    if last == 0:
        return np.repeat(values, len(places), axis=0)
    steps = np.diff(values, axis=0)
    before, after = steps[:-1], steps[1:]
    means = np.divide(2 * before * after, before + after, out=np.zeros_like(before), where=before * after > 0)
    slopes = np.pad(means, ((1, 1), (0, 0)))
    places = np.clip(places, 0, last)
    left = np.minimum(places.astype(int), last - 1)
    t = (places - left)[:, None]
    return np.asarray(
        values[left]
        + (3 * t**2 - 2 * t**3) * steps[left]
        + (t**3 - 2 * t**2 + t) * slopes[left]
        + (t**3 - t**2) * slopes[left + 1]
    )


def hover_texts(values: Map, name: str) -> list[str]:
    """One text per patch: its place and the map's value there."""
    rows, columns = values.shape
    return [
        f"row {y + 1}, column {x + 1}<br>{html.escape(name)}: {number(float(values[y, x]))}"
        for y in range(rows)
        for x in range(columns)
    ]


def number(value: float) -> str:
    """Three significant digits, and a plain 0."""
    return "0" if value == 0 else f"{value:.3g}".replace("-", "−")


def png(picture: ScreenPicture) -> bytes:
    """Losslessly, and quickly rather than small."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG", compress_level=1)
    return out.getvalue()


def data_uri(picture: ScreenPicture) -> str:
    """The picture as a PNG data URI."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def dim_grey(photograph: ScreenPicture) -> UInt8[np.ndarray, "rows columns"]:
    """The photograph without its colours and dim, as on paper: grey takes a third of the bytes."""
    return (_grey(photograph) * _DIM).round().astype(np.uint8)


def _grey(photograph: ScreenPicture) -> Float[np.ndarray, "rows columns"]:
    luma: Float[np.ndarray, "rows columns"] = photograph.astype(np.float32) @ np.array(
        [0.299, 0.587, 0.114], dtype=np.float32
    )
    return luma


def _base(photograph: ScreenPicture) -> Float[np.ndarray, "rows columns 3"]:
    dimmed: Float[np.ndarray, "rows columns 3"] = (
        _grey(photograph)[..., None] * _GREY + photograph.astype(np.float32) * (1 - _GREY)
    ) * _DIM
    return dimmed
