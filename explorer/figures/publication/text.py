"""Text on a sheet: never read as mathematics unless it is ours, and made small enough for its place."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from explorer.figures.publication.page import POINTS, Page

_SMALLEST = 4.0
"""Points; below this nobody can read it in print."""


def write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text at a place on a `canvas`, taken literally."""
    axes.text(x, y, text, parse_math=False, **style)


def write_fitting(axes: Axes, x: float, y: float, text: str, width: float, page: Page, **style: Any) -> None:
    """Text in at most two lines, as small as it must be to take no more than so many inches; cut at the smallest."""
    weight = style.get("weight", "normal")
    size = page.font_size
    lines = [text]
    if inches(text, size, weight) > width:
        lines = _halves(text, size, weight)
        widest = max(inches(line, size, weight) for line in lines)
        size = max(_SMALLEST, min(size, size * width / widest))
        lines = [_cut(line, size, weight, width) for line in lines]
    write(axes, x, y, "\n".join(lines), size=size, linespacing=1.0, **style)


def _halves(text: str, size: float, weight: str) -> list[str]:
    """Two lines of nearly the same width, broken behind a space, hyphen, comma or slash."""
    breaks = [match.end() for match in re.finditer(r"[\s\-/,]+(?=\S)", text)]
    if not breaks:
        return [text]
    return list(
        min(
            ((text[:at].rstrip(), text[at:]) for at in breaks),
            key=lambda two: max(inches(line, size, weight) for line in two),
        )
    )


def _cut(text: str, size: float, weight: str, width: float) -> str:
    if inches(text, size, weight) <= width * 1.02:
        return text
    while len(text) > 1 and inches(text + "…", size, weight) > width:
        text = text[:-1]
    return text + "…"


def inches(text: str, size: float, weight: str = "normal") -> float:
    """Width of a text in the font of the sheet."""
    return _width(text, size, weight, tuple(mpl.rcParams["font.family"]))


@lru_cache(maxsize=1000)
def _width(text: str, size: float, weight: str, family: tuple[str, ...]) -> float:
    font = FontProperties(family=list(family), size=size, weight=weight)
    return float(TextPath((0, 0), text.replace("$", r"\$"), prop=font).get_extents().width) / POINTS if text else 0.0
