"""What a person makes of a picture's frame before a model sees it: squashed into a square, or a part of it.

A model cuts the middle out of whatever it is given. A crop comes before that: its result is a picture of its own, with
a digest of its own, so that whatever is computed or remembered of it, and every map over it, is of what the model saw.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from explorer.types import ExplorerError, ImageInput, Picture

SQUASHED = "squash"
MARK = "#"
"""Between the name of a picture and its crop, wherever a picture can be named."""
_SHARE = r"(?:0\.\d{1,4}|[01](?:\.0{1,4})?)"
_CROP = re.compile(rf"{SQUASHED}|{_SHARE}(?:,{_SHARE}){{3}}")


@dataclass(frozen=True)
class Cropping:
    """The whole picture squashed into a square, or `(top, left, bottom, right)` of it, in shares of its sides."""

    part: tuple[float, float, float, float] | None = None

    def __str__(self) -> str:
        return ",".join(f"{share:.4f}" for share in self.part) if self.part else SQUASHED

    @property
    def words(self) -> str:
        """What it is, for a caption."""
        if self.part is None:
            return "squashed into a square"
        top, left, bottom, right = (round(100 * share) for share in self.part)
        return f"cropped to {top}–{bottom}% down, {left}–{right}% across"

    def digest(self, digest: str) -> str:
        """Identity of what it makes of a picture."""
        return hashlib.sha256(f"{digest}{MARK}{self}".encode()).hexdigest()

    def of(self, image: ImageInput) -> ImageInput:
        """The picture that is left of a picture."""
        rgb = np.ascontiguousarray(_part(image.rgb, self.part) if self.part else _squashed(image.rgb))
        rgb.setflags(write=False)
        return replace(image, digest=self.digest(image.digest), rgb=rgb)


def parse(text: str) -> Cropping:
    """The crop that an address, a file or a name says. Raises `ExplorerError` for what is none."""
    if not _CROP.fullmatch(text):
        raise ExplorerError(f"{SQUASHED!r} or four shares (top,left,bottom,right) were expected; {text[:40]!r} came.")
    if text == SQUASHED:
        return Cropping()
    top, left, bottom, right = (float(share) for share in text.split(","))
    if not (top < bottom and left < right):
        raise ExplorerError(f"A part of a picture from top left to bottom right was expected; {text} came.")
    return Cropping((top, left, bottom, right))


def of_name(name: str) -> tuple[str, Cropping | None]:
    """A picture's name, and the crop that stands behind it."""
    before, mark, after = name.rpartition(MARK)
    return (before, parse(after)) if mark and _CROP.fullmatch(after) else (name, None)


def _part(rgb: Picture, part: tuple[float, float, float, float]) -> UInt8[np.ndarray, "_ _ 3"]:
    """At least one pixel, whatever the shares are."""
    top, left, bottom, right = (round(share * length) for share, length in zip(part, rgb.shape[:2] * 2, strict=True))
    top, left = min(top, rgb.shape[0] - 1), min(left, rgb.shape[1] - 1)
    return rgb[top : max(bottom, top + 1), left : max(right, left + 1)].copy()


def _squashed(rgb: Picture) -> UInt8[np.ndarray, "_ _ 3"]:
    side = min(rgb.shape[:2])
    return np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC))
