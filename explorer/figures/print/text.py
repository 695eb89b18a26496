"""Text on a sheet: never read as mathematics unless it is ours, and made small enough for its place."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from explorer.figures.settings import POINTS, Page

_SMALLEST = 4.0
"""Points; below this nobody can read it in print."""
_LONGEST = 200
"""Characters; more of a name fits no place on a page."""
_BRACKET = re.compile(r" \([^()]*\)$")
_APART = 0.96
"""The share of its place that a text may take, so that neighbours stay apart."""


def printable(text: str) -> str:
    """Text that is not ours as one line of characters that every format can hold."""
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST]).strip()


def write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text at a place on a `canvas`, taken literally."""
    axes.text(x, y, text, parse_math=False, **style)


def fitting(text: str, width: float, size: float) -> str:
    """As much of a text in one line as so many inches hold."""
    return _cut(printable(text), size, "normal", width)


def write_fitting(axes: Axes, x: float, y: float, text: str, width: float, page: Page, **style: Any) -> None:
    """Text in at most two lines that takes no more than so many inches; cut where it cannot be small enough.

    `size` is the most it may have, the page's own by default.
    """
    weight, text = style.get("weight", "normal"), printable(text)
    size = min(style.pop("size", page.font_size), fitting_size([text], width, page, weight))
    lines = [_cut(line, size, weight, width) for line in _lines(text, width, page, weight)]
    write(axes, x, y, "\n".join(lines), size=size, linespacing=1.0, **style)


def fitting_size(texts: Sequence[str], width: float, page: Page, weight: str = "normal") -> float:
    """The points at which every one of these texts fits in so many inches, so that neighbours look alike."""
    lines = [line for text in texts for line in _lines(printable(text), width, page, weight)]
    widest = max((inches(line, page.font_size, weight) for line in lines), default=0.0)
    return max(_SMALLEST, min(1.0, _APART * width / widest) * page.font_size) if widest else page.font_size


def line_count(text: str, width: float, page: Page, weight: str = "normal") -> int:
    """Lines that `write_fitting` breaks a text into, none for no text."""
    return len(_lines(text, width, page, weight)) if (text := printable(text)) else 0


def _lines(text: str, width: float, page: Page, weight: str) -> list[str]:
    return [text] if inches(text, page.font_size, weight) <= _APART * width else _halves(text, page.font_size, weight)


def _halves(text: str, size: float, weight: str) -> list[str]:
    """Two lines of nearly the same width, broken behind a space, hyphen, comma or slash."""
    breaks = [match.end() for match in re.finditer(r"[\s\-/,_]+(?=\S)", text)]
    if not breaks:
        return [text]
    return list(
        min(
            ((text[:at].rstrip(), text[at:]) for at in breaks),
            key=lambda two: max(inches(line, size, weight) for line in two),
        )
    )


def _cut(text: str, size: float, weight: str, width: float) -> str:
    """Loses its end; what stands in brackets there (an operator that was swapped) stays as long as anything does."""
    if inches(text, size, weight) <= width * 1.02:
        return text
    bracket = _BRACKET.search(text)
    end = bracket[0] if bracket and inches(f"……{bracket[0]}", size, weight) <= width else ""
    text = text.removesuffix(end)
    kept = bisect_right(range(2, len(text)), width, key=lambda n: inches(f"{text[:n]}…{end}", size, weight))
    return f"{text[: kept + 1]}…{end}"


def inches(text: str, size: float, weight: str = "normal") -> float:
    """Width of a text in the font of the sheet."""
    return _width(text, size, weight, tuple(mpl.rcParams["font.family"]))


@lru_cache(maxsize=1000)
def _width(text: str, size: float, weight: str, family: tuple[str, ...]) -> float:
    font = FontProperties(family=list(family), size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / POINTS if text else 0.0
