"""The colour profile in a photograph's file -> its pixels in sRGB, which is what models have seen.

A profile is somebody else's, like the file: LittleCMS reads it behind a bound on its size and a look at its header,
and one that is refused costs its colours, never the photograph.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageChops, ImageCms, features

MAX_BYTES = 4 * 2**20
"""Those for print have up to 3 MB, those of cameras and screens 0.5 to 60 KB."""
MAX_LEVELS = 2
"""A profile that moves no colour by more is sRGB as somebody else has rounded it, and nothing is to be done."""

_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
_CLASSES = (b"mntr", b"scnr", b"prtr", b"spac")  # screens, cameras, printers and colour spaces
_CHAINS = (b"D2B0", b"D2B1", b"D2B2", b"D2B3")  # arithmetic of any number of steps: half a million fit into 4 MB
_GREY = ("1", "L", "LA", "La")
_GREYS = Image.fromarray(np.arange(256, dtype=np.uint8)[None])


@dataclass(frozen=True, eq=False)
class ColourConversion:
    """From pixels of a mode, which is `RGB`, `L` or `CMYK`, to RGB in sRGB."""

    mode: str
    transform: ImageCms.ImageCmsTransform

    def of(self, image: Image.Image) -> Image.Image:
        """A new picture in RGB."""
        if self.mode == "L":  # by a palette of all greys, exact where LittleCMS would be fast or exact
            grey = image.convert("L")
            grey.putpalette(self.transform.apply(_GREYS).tobytes())
            return grey.convert("RGB")
        return self.transform.apply(image if image.mode == self.mode else image.convert(self.mode))


def conversion(profile: bytes, mode: str, notes: list[str]) -> ColourConversion | None:
    """What takes pixels of this mode from their profile to sRGB; `None` where they are to stay as they are.

    They stay without a note where the profile is sRGB. A note of one sentence says what is done, or why it cannot be.
    """
    if reason := _refusal(profile, mode):
        notes.append(f"The file's colour profile is ignored, and its colours are read as sRGB, because {reason}.")
        return None
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        result = ColourConversion(_MODES[profile[16:20]], _transform(opened, _MODES[profile[16:20]]))
        if _is_srgb(result):
            return None
        name = " ".join("".join(c for c in opened.profile.profile_description or "" if c.isprintable()).split())[:60]
    except Exception:  # OSError, PyCMSError, ValueError: as LittleCMS and Pillow come upon it
        notes.append("The file's colour profile is damaged, and its colours are read as sRGB.")
        return None
    notes.append(f"Colours are converted to sRGB from the file's profile{name and f', {name}'}.")
    return result


def _refusal(profile: bytes, mode: str) -> str:
    """Why a profile is not even opened, or nothing."""
    if not features.check("littlecms2"):
        return "Pillow has no LittleCMS here"
    if len(profile) > MAX_BYTES:
        return f"it has {len(profile) / 2**20:.1f} MB, where at most {MAX_BYTES / 2**20:.0f} were expected"
    if len(profile) < 132:
        return "it is cut short"
    space = _MODES.get(profile[16:20])
    if not (space == mode or (space == "RGB" and mode != "CMYK") or (space == "L" and mode in _GREY)):
        return f"it is not one of {mode} pixels"
    (count,) = struct.unpack_from(">I", profile, 128)
    tags = {profile[start : start + 4] for start in range(132, min(132 + 12 * count, len(profile)), 12)}
    if profile[12:16] not in _CLASSES or tags.intersection(_CHAINS):
        return "it is of a kind that is not read"
    return ""


def _transform(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    """Relative to white, with black as black, as browsers and photo editors do: what sRGB has too stays itself."""
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    if mode == "L":
        flags |= ImageCms.Flags.NOOPTIMIZE
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(profile, srgb, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, flags)


def _is_srgb(of: ColourConversion) -> bool:
    """Whether no colour of a grid moves, or no grey."""
    if of.mode == "CMYK":
        return False
    if of.mode == "L":
        colours = _GREYS
    else:
        grid = np.moveaxis(np.mgrid[:256:15, :256:15, :256:15], 0, -1)
        colours = Image.fromarray(grid.astype(np.uint8).reshape(-1, 18, 3))
    difference = ImageChops.difference(of.of(colours), colours.convert("RGB"))
    return bool(np.asarray(difference).max() <= MAX_LEVELS)
