"""The bytes of an image file -> upright RGB pixels.

Every file is somebody else's: `decode` reads the header before it allocates, opens eight formats and no other,
and lets nothing but `ImageError` out.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from contextlib import suppress
from io import BytesIO

import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image

from explorer.pictures import heic, layout, profiles
from explorer.pictures.budget import BUDGET, PixelBudget
from explorer.pictures.profiles import ColourConversion
from explorer.types import ExplorerError, ImageInput

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", heic.FORMAT)
SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff", ".bmp"),
        *(".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif"),
    )
)
"""How names of files of these formats end, in lower case."""
KINDS = "JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF or HEIC"
"""What is read, in words."""
MAX_ASPECT = 20
MAX_PIXELS = 40_000_000
"""Limit on what is decoded in full; a JPEG that decodes row by row counts with its reduced size."""
MAX_STREAMED_PIXELS = 80_000_000
"""Limit on the header of such a JPEG, below the size at which Pillow starts to warn."""
MAX_SCANS = 30
"""A progressive JPEG goes through the whole picture in every scan (50 ms at 40 MP); tools write about ten."""
MAX_SHORT_SIDE = 1024
"""Pixels are kept with their shorter side at most this long: no view of them needs more."""

_EXPECTED = f"An image file ({KINDS}) was expected"
_OURS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
)
_FOREIGN = (
    (b"%PDF", "a PDF document"),
    (b"PK", "a ZIP archive or an Office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"%!PS", "a PostScript drawing"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\1\0", "an icon file"),
    (b"\0\0\0\x0cjP", "a JPEG 2000 image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL", "a JPEG XL image"),
)
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_BITS_PER_SAMPLE = 258
_QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


class ImageError(ExplorerError):
    """A file that is not a usable image, or pixels of the wrong shape."""


def decode(data: bytes, budget: PixelBudget = BUDGET) -> ImageInput:
    """Upright RGB pixels of the first picture in a file, its shorter side at most 1024 px.

    Colours are those of sRGB, to which `profiles` converts what has another profile; 16 bits map `0..65535` to
    `0..255`, floats their finite range; transparency is laid on white. Raises `ImageError`, and nothing else, for
    whatever is not such a file.
    """
    _quiet_pillow()
    try:
        rgb, notes = _read(data, budget)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(_too_large("far more")) from error
    except MemoryError as error:
        raise ImageError("An image that fits into memory was expected; this one does not fit.") from error
    except Exception as error:  # Pillow's readers raise nearly every kind: SyntaxError, struct.error, KeyError, ...
        raise ImageError(_what_came(data)) from error
    return ImageInput(hashlib.sha256(data).hexdigest(), rgb, notes)


def _quiet_pillow() -> None:
    """Pillow warns of what it forgives in a damaged file: nobody who could act on it reads that.

    One filter that stays, because `catch_warnings` in one thread undoes what another has set.
    """
    if not warnings.filters or warnings.filters[0] != _QUIET:
        warnings.filterwarnings("ignore", module=_QUIET[3].pattern)


def _read(data: bytes, budget: PixelBudget) -> tuple[UInt8[np.ndarray, "height width 3"], tuple[str, ...]]:
    if excess := layout.excess(data):
        raise ImageError(excess)
    if heic.is_heic(data) and not heic.can_read():
        raise ImageError(f"{_EXPECTED}; a HEIC came, for which pillow-heif is not installed here.")
    image: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
    with budget.taken(_check_header(image, data)):
        return _decoded(image)


def _decoded(image: Image.Image) -> tuple[UInt8[np.ndarray, "height width 3"], tuple[str, ...]]:
    notes: list[str] = []
    with suppress(Exception):  # a broken second picture is no reason to refuse the first
        if getattr(image, "is_animated", False):
            notes.append("The file holds several pictures (an animation or pages); the first one is shown.")
    image.draft(None, (MAX_SHORT_SIDE, MAX_SHORT_SIDE))  # only JPEG knows it: decodes at 1/2, 1/4 or 1/8
    image.load()
    orientation = 1
    with suppress(Exception):  # broken EXIF data is no reason to refuse good pixels
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    profile = image.info.get("icc_profile")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image, notes)
    colours = profiles.conversion(profile, image.mode, notes) if isinstance(profile, bytes) else None
    if image.has_transparency_data:
        image = _on_white(image, colours, notes)
    else:
        image = _shrunk(_as(image, "CMYK" if colours and colours.mode == "CMYK" else "RGB"))
        image = colours.of(image) if colours else image
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    rgb = np.array(image, dtype=np.uint8, order="C")
    rgb.setflags(write=False)
    return rgb, tuple(notes)


def _check_header(image: Image.Image, data: bytes) -> int:
    """Pixels that will be decoded; refuses by size what is too large, before memory is taken for them."""
    width, height = image.size
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise ImageError(
            f"An image with sides in a ratio of at most {MAX_ASPECT} was expected; {width} x {height} px came."
        )
    decoded, limit = width * height, MAX_PIXELS
    if image.format in ("JPEG", "MPO"):
        by_rows, scans = _jpeg_layout(data)
        if scans > MAX_SCANS:
            raise ImageError(f"A JPEG of at most {MAX_SCANS} scans was expected; one of {scans} came.")
        if by_rows:
            limit = MAX_STREAMED_PIXELS
            decoded = decoded // _draft_scale(image.size) ** 2
    elif image.format == heic.FORMAT:
        decoded = max(decoded, heic.largest(data))
    if decoded > MAX_PIXELS or width * height > limit:
        raise ImageError(_too_large(f"{width} x {height} px"))
    return decoded


def _draft_scale(size: tuple[int, int]) -> int:
    """Factor by which Pillow's `draft` reduces a JPEG whose shorter side may shrink to `MAX_SHORT_SIDE`."""
    return next((scale for scale in (8, 4, 2) if min(size) // MAX_SHORT_SIDE >= scale), 1)


def _jpeg_layout(data: bytes) -> tuple[bool, int]:
    """Whether a JPEG decodes row by row, and its number of scans.

    Otherwise (progressive, or one scan per colour) libjpeg holds the coefficients of the whole picture, at full size
    whatever the reduction, and goes through them once per scan (ITU-T T.81, annex B).
    """
    position, segments, scans, components, sequential, by_rows = 2, 0, 0, 0, False, False
    while marker := layout.JPEG_MARKER.search(data, position):
        if (segments := segments + 1) > layout.MAX_SEGMENTS:
            raise ImageError(layout.MANY_SEGMENTS)
        code, position = data[marker.end() - 1], marker.end()
        if code == 0xD9:  # end of image; previews and videos may follow
            break
        if code in (0x01, 0xD8):  # the markers without a length
            continue
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):  # start of frame
            sequential, components = code in (0xC0, 0xC1), data[position + 7]
        elif code == 0xDA:  # start of scan
            scans += 1
            if scans == 1:
                by_rows = sequential and data[position + 2] == components
        position += int.from_bytes(data[position : position + 2], "big")
    return by_rows, scans


def _eight_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """Grey values of 16 or 32 bits or floats as 8 bits; Pillow's own conversion clips them."""
    values = np.asarray(image)
    if image.mode in ("I", "F"):
        finite = values[np.isfinite(values)]
        if not finite.size:
            raise ImageError("Pixels with finite values were expected; every value is NaN or infinite.")
        low, high = float(finite.min()), float(finite.max())
        notes.append(f"The values {low:g} to {high:g} are shown as black to white.")
    else:
        bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS_PER_SAMPLE, (16,))[0]  # a TIFF may hold 12 bits
        low, high = 0.0, float(2**bits - 1)
    grey = Image.fromarray(_scaled(values, low, high))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _scaled(values: Num[np.ndarray, "height width"], low: float, high: float) -> UInt8[np.ndarray, "height width"]:
    """`low..high` to `0..255`, what is not finite to 0; in double precision by blocks of rows, to bound memory."""
    result = np.empty(values.shape, np.uint8)
    scale = 255.0 / (high - low) if high > low else 0.0
    for start in range(0, values.shape[0], 256):
        with np.errstate(invalid="ignore"):  # infinity times zero, and the NaN that signals
            rows = (values[start : start + 256].astype(np.float64) - low) * scale
        result[start : start + 256] = np.clip(np.rint(np.where(np.isfinite(rows), rows, 0.0)), 0, 255)
    return result


def _on_white(image: Image.Image, colours: ColourConversion | None, notes: list[str]) -> Image.Image:
    image = _shrunk(_as(image, "RGBA"))
    alpha = image.getchannel("A")
    if colours:
        image = colours.of(image.convert("RGB"))
        image.putalpha(alpha)
    if alpha.getextrema() == (255, 255):
        return image.convert("RGB")
    notes.append("The transparent parts of the picture are shown on white.")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _shrunk(image: Image.Image) -> Image.Image:
    short = min(image.size)
    if short <= MAX_SHORT_SIDE:
        return image
    width, height = (round(length * MAX_SHORT_SIDE / short) for length in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _as(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # `convert` copies even to the same mode


def _too_large(came: str) -> str:
    return f"An image of at most {MAX_PIXELS // 1_000_000} megapixels was expected; {came} came."


def _what_came(data: bytes) -> str:
    """One sentence about a file that could not be decoded, by the bytes it starts with."""
    ours = next((name for magic, name in _OURS if data.startswith(magic)), None)
    foreign = next((name for magic, name in _FOREIGN if data.startswith(magic)), None)
    start = data[:2048]
    if start[:4] == b"RIFF":
        ours, foreign = ("WebP", None) if start[8:12] == b"WEBP" else (None, "a sound or video file")
    elif start[4:8] == b"ftyp":
        is_avif = b"avif" in start[8:64] or b"avis" in start[8:64]
        ours = "AVIF" if is_avif else "HEIC" if heic.is_heic(start) else None
        foreign = "a video file"
    elif b"<svg" in start.lower():
        foreign = "an SVG drawing, which has to be saved as PNG first"
    elif not ours and not foreign and _is_text(start):
        foreign = "a text file"
    if not data:
        foreign = "an empty file"
    if ours:
        return f"A complete {ours} image was expected; this one is damaged, cut short or of an unsupported kind."
    return f"{_EXPECTED}; {foreign or 'something else'} came."


def _is_text(start: bytes) -> bool:
    text = start.decode("utf-8", errors="ignore")
    return len(text) > 0.9 * len(start) and all(c.isprintable() or c.isspace() for c in text)
