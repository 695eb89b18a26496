"""Disturbed pixels as pictures."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num
from torch import Tensor

from explorer.arrays import array
from explorer.types import Picture


def around_grey(difference: Num[np.ndarray, "height width 3"], factor: float) -> Picture:
    """A difference of pixels in 0..255, times a factor, where grey is none."""
    picture: Picture = np.clip(128 + factor * difference, 0, 255).round().astype(np.uint8)
    return picture


def amplification(eps: float) -> float:
    """The whole number by which a change of `eps` (of [0, 1]) nearly spans the range around grey."""
    return float(round(127 / (255 * eps))) if eps else 1.0


def rgb(pixels: Float[Tensor, "3 height width"]) -> Picture:
    """Pixels of [0, 1] as bytes; those an attack left outside are cut off."""
    picture: Picture = (array(pixels).transpose(1, 2, 0) * 255).round().clip(0, 255).astype(np.uint8)
    return picture
