"""A map for the pointer, and its colour bar."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from explorer.figures.maps import ScreenPicture, number
from explorer.figures.screen.chart import Chart, stops
from explorer.figures.settings import ColourMap
from explorer.figures.style import Palette, Range, colour_scale, scale_name

_CLEAR = {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}


def interactive(
    picture: ScreenPicture,
    hover: Sequence[str],
    grid: tuple[int, int],
    palette: Palette,
    *,
    height: int | None = None,
) -> Chart:
    """A picture with one text per patch, in row order, for the pointer; without a height, as high as its place."""
    rows, columns = grid
    y, x = np.divmod(np.arange(rows * columns), columns)
    patches = {
        "type": "scatter",
        "x": x,
        "y": y,
        "mode": "markers",
        "marker": {"symbol": "square", "size": 18, "opacity": 0.0, "color": palette.text},
        "text": list(hover),
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }
    place = {"x": -0.5, "y": -0.5, "sizex": columns, "sizey": rows, "xref": "x", "yref": "y"}
    bare = {"visible": False, "fixedrange": True, "constrain": "domain"}
    layout = {
        **_CLEAR,
        "height": height,
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "images": [{"source": _lossless(picture), **place, "sizing": "stretch", "layer": "below"}],
        "xaxis": {**bare, "range": [-0.5, columns - 0.5]},
        "yaxis": {**bare, "range": [rows - 0.5, -0.5], "scaleanchor": "x", "constraintoward": "top"},
        "dragmode": False,
        "hoverdistance": -1,  # the nearest patch answers wherever the pointer is
        "hoverlabel": {"align": "left"},
    }
    return Chart([patches], layout)


def colour_bar(range: Range, colour_map: ColourMap, palette: Palette, title: str) -> Chart:
    """A horizontal colour bar with numbers at its ends."""
    steps = np.linspace(range.low, range.high, 256)
    strip = {
        "type": "heatmap",
        "z": [steps],
        "x": steps,
        "colorscale": stops(colour_scale(scale_name(colour_map, range))),
        "showscale": False,
        "hoverinfo": "skip",
    }
    ends = (range.low, (range.low + range.high) / 2, range.high)
    font = {"size": 12, "color": palette.text}
    axis = {
        "tickvals": ends,
        "ticktext": [number(value) for value in ends],
        "tickfont": font,
        "title": {"text": title, "font": font, "standoff": 6},
        "fixedrange": True,
        "showgrid": False,
    }
    layout = {
        **_CLEAR,
        "height": 76,
        "margin": {"l": 24, "r": 24, "t": 4, "b": 50},
        "xaxis": axis,
        "yaxis": {"visible": False, "fixedrange": True},
    }
    return Chart([strip], layout)


def _lossless(picture: ScreenPicture) -> str:
    """The picture as a WebP data URI: half the time of a PNG, and three quarters of its bytes."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "WEBP", lossless=True, quality=0, method=0)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
