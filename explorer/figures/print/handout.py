"""A lesson on one page of paper: its words, its pictures as they stand on the screen, and its question.

The pictures are the screen's own charts, drawn again by matplotlib: lines, points, bands and images on linear
or log axes, which is all that the lessons' figures hold. What cannot be drawn again is refused, not left out.
"""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from explorer.figures.print.page import INK, QUIET, Format, canvas, plot_area, render, settings, sheet
from explorer.figures.screen.chart import Chart
from explorer.figures.settings import Page
from explorer.version import VERSION

A4 = Page(width=8.27, height=11.69, dpi=200, font="serif", font_size=9.5)
_MARGIN = 0.75
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", None: "-"}
_MARKERS = {"circle": "o", "diamond": "D", "square": "s", "circle-open": "o", "diamond-open": "D", None: "o"}
_COLUMN = 96
"""Characters in a line across the page."""


def draw(title: str, words: Sequence[str], asked: str, pictures: Sequence[tuple[str, Chart]]) -> bytes:
    """The page as PDF: `words` are paragraphs, `pictures` figures with the sentence below each, two in a row."""
    with settings(A4):
        figure = sheet(A4, A4.height)
        axes = canvas(figure)
        axes.text(_MARGIN, _MARGIN, title, size=1.9 * A4.font_size, weight="bold", va="top", parse_math=False)
        top = _paragraphs(axes, words, _MARGIN + 0.42)
        question_height = _height([f"Question. {asked}"])
        bottom = A4.height - _MARGIN - 0.25 - question_height
        rows = -(-len(pictures) // 2)
        room = (bottom - top) / max(rows, 1)
        for index, (below, picture) in enumerate(pictures):
            _picture(figure, axes, below, picture.checked(), index, top, min(room, 3.4))
        _paragraphs(axes, [f"Question. {asked}"], min(top + rows * min(room, 3.4), bottom) + 0.1)
        foot = f"Twicing Explorer {VERSION}. Transformer Meets Twicing, arXiv 2503.00687."
        axes.text(_MARGIN, A4.height - 0.5, foot, size=7, color=QUIET, parse_math=False)
        return render(figure, A4, Format.PDF, {"Title": title, "Creator": f"Twicing Explorer {VERSION}"})


def _paragraphs(axes: Axes, words: Sequence[str], top: float) -> float:
    """Writes paragraphs and returns where the next thing begins."""
    for paragraph in words:
        lines = textwrap.wrap(plain(paragraph), _COLUMN)
        axes.text(_MARGIN, top, "\n".join(lines), va="top", linespacing=1.3, parse_math=False)
        top += _height([paragraph])
    return top + 0.08


def _height(words: Sequence[str]) -> float:
    lines = sum(len(textwrap.wrap(plain(paragraph), _COLUMN)) for paragraph in words)
    return lines * A4.line * 1.12 + 0.06 * len(words)


def _picture(figure: Figure, axes: Axes, below: str, picture: go.Figure, index: int, top: float, height: float) -> None:
    width = (A4.width - 2 * _MARGIN - 0.3) / 2
    left = _MARGIN + (index % 2) * (width + 0.3)
    top += (index // 2) * height
    lines = textwrap.wrap(plain(below), 52)
    words = 0.16 * len(lines)
    below_it = top + height - words - 0.1
    if _is_bare(picture):  # no room is needed for axes
        room = height - words - 0.3
        area = plot_area(figure, left, top + 0.05, width, room)
        below_it = top + min(room, width * _aspect(picture)) + 0.13
    else:
        area = plot_area(figure, left + 0.5, top + 0.05, width - 0.55, height - words - 0.72)
    redraw(area, picture)
    axes.text(left, below_it, "\n".join(lines), va="top", size=8, color=QUIET, parse_math=False)


def redraw(axes: Axes, figure: go.Figure) -> None:
    """Draws a plotly figure's traces, images and lines into axes. Raises `ValueError` for a trace of another kind."""
    layout = figure.layout
    for image in layout.images:
        data = base64.b64decode(image.source.partition(",")[2])
        extent = (image.x, image.x + image.sizex, image.y + image.sizey, image.y)
        axes.imshow(
            np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), extent=extent, aspect="auto", interpolation="none"
        )
    for trace in figure.data:
        if trace.type != "scatter":
            raise ValueError(f"A scatter trace was expected; {trace.type} came.")
        if not (trace.marker.opacity == 0 and trace.mode == "markers"):
            _trace(axes, trace)
    for shape in layout.shapes:
        line = axes.axhline if shape.y0 == shape.y1 and shape.yref == "y" else axes.axvline
        place = shape.y0 if line == axes.axhline else shape.x0
        line(place, color=_colour(shape.line.color), linestyle=_DASHES.get(shape.line.dash, "-"), linewidth=0.6)
    for axis, layout_axis, set_scale, set_limits in (
        (axes.xaxis, layout.xaxis, axes.set_xscale, axes.set_xlim),
        (axes.yaxis, layout.yaxis, axes.set_yscale, axes.set_ylim),
    ):
        if layout_axis.type == "log":
            set_scale("log")
        if layout_axis.range is not None:
            set_limits(*(10 ** np.array(layout_axis.range, float) if layout_axis.type == "log" else layout_axis.range))
        axis.set_label_text(maths(layout_axis.title.text or ""))
        if layout_axis.tickvals is not None and layout_axis.type != "log":
            axis.set_ticks(list(layout_axis.tickvals))
    if layout.yaxis.scaleanchor:
        axes.set_aspect("equal", anchor="NW")
    if _is_bare(figure):
        axes.set_axis_off()
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(fontsize=6.5, loc="best", handlelength=1.6, framealpha=0.8)


def _is_bare(figure: go.Figure) -> bool:
    """Whether this is a picture without axes."""
    return figure.layout.xaxis.visible is False and figure.layout.yaxis.visible is False


def _aspect(figure: go.Figure) -> float:
    """Height of a picture in widths."""
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    return float(abs(top - bottom) / abs(right - left))


def _trace(axes: Axes, trace: Any) -> None:
    x, y = np.asarray(trace.x, dtype=float), np.asarray(trace.y, dtype=float)
    label = maths(trace.name or "") if trace.showlegend is not False and trace.name else None
    if trace.fill == "toself":
        axes.fill(x, y, color=_colour(trace.fillcolor), linewidth=0, label=label)
        return
    colour = _colour(trace.marker.color if trace.mode == "markers" else trace.line.color)
    symbol = trace.marker.symbol
    axes.plot(
        x,
        y,
        linestyle=_DASHES.get(trace.line.dash, "-") if "lines" in trace.mode else "none",
        linewidth=0.45 * (trace.line.width or 2),
        marker=_MARKERS.get(symbol, "o") if "markers" in trace.mode else None,
        markersize=0.45 * (trace.marker.size or 6),
        markerfacecolor="none" if symbol and "open" in symbol else None,
        color=colour,
        label=label,
    )


def _colour(css: str | None) -> Any:
    """`rgba(...)` and `#RRGGBB` as matplotlib takes them."""
    if css is None or not css.startswith("rgba"):
        return css or INK
    red, green, blue, alpha = (float(part) for part in css[5:-1].split(","))
    return red / 255, green / 255, blue / 255, alpha


def maths(text: str) -> str:
    """Plotly's `<sup>` and `<sub>` as matplotlib's mathematics, everything else literally."""
    text = text.replace("$", r"\$").replace("<br>", " ")
    text = re.sub(r"<sup>(.*?)</sup>", r"$^{\1}$", text)
    return re.sub(r"<sub>(.*?)</sub>", r"$_{\1}$", text)


def plain(text: str) -> str:
    """Markdown's stars and dollars taken away."""
    return re.sub(r"[*`$]", "", text)
