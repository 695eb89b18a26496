"""A chart as plotly's script takes it: dictionaries, which nobody checks while a page waits.

plotly's own `Figure` looks up and checks every property when it is set and copies all of them when they are sent, 5 to
40 ms of every chart whenever a page runs. Here that is done for paper and by the tests, by `checked`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
import plotly.io  # type: ignore[import-untyped]
from plotly.basedatatypes import BaseFigure  # type: ignore[import-untyped]

from explorer.figures.style import Palette

Properties = dict[str, Any]
_AS_THEY_ARE = {"range"}
"""Arrays that plotly's script does not take as bytes."""
_NUMBERS = {"i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"}
"""Kinds of numbers that it does."""


class Chart(BaseFigure):  # type: ignore[misc]
    """Traces, axes and a layout; as a `BaseFigure` because Streamlit checks whatever is none, by building a `Figure`.

    The methods are those of plotly that charts here need, for a single pair of axes.
    """

    def __init__(self, traces: Iterable[Properties] = (), layout: Mapping[str, Any] | None = None) -> None:
        self._traces = [_merged({}, trace) for trace in traces]
        self._arrangement = _merged({}, layout or {})

    def to_dict(self) -> Properties:
        """What is sent: plotly's JSON with arrays as bytes, and Streamlit's template as in every figure of plotly."""
        template = _template(plotly.io.templates.default)
        return {
            "data": [_sent(trace) for trace in self._traces],
            "layout": {"template": template} | _sent(self._arrangement),
        }

    def checked(self) -> go.Figure:
        """Plotly's own figure of the same. Raises `ValueError` for a property or a value that plotly does not know."""
        return go.Figure(self._traces, self._arrangement)

    def add_scatter(self, **properties: Any) -> None:
        self._traces.append(_merged({"type": "scatter"}, properties))

    def add_bar(self, **properties: Any) -> None:
        self._traces.append(_merged({"type": "bar"}, properties))

    def add_heatmap(self, **properties: Any) -> None:
        self._traces.append(_merged({"type": "heatmap"}, properties))

    def add_layout_image(self, **properties: Any) -> None:
        self._arrangement.setdefault("images", []).append(_merged({}, properties))

    def add_vline(self, x: float, line: Properties) -> None:
        """A line over the whole height."""
        self._add_line({"x0": x, "x1": x, "xref": "x", "y0": 0, "y1": 1, "yref": "y domain"}, line)

    def add_hline(self, y: float, line: Properties, annotation: Properties | None = None) -> None:
        """A line over the whole width, with words above its right end."""
        self._add_line({"x0": 0, "x1": 1, "xref": "x domain", "y0": y, "y1": y, "yref": "y"}, line)
        if annotation is not None:
            place = {"x": 1, "xref": "x domain", "xanchor": "right", "y": y, "yref": "y", "yanchor": "bottom"}
            words = {**annotation, **place, "showarrow": False}
            self._arrangement.setdefault("annotations", []).append(_merged({}, words))

    def update_xaxes(self, **properties: Any) -> None:
        self.update_layout(xaxis=properties)

    def update_yaxes(self, **properties: Any) -> None:
        self.update_layout(yaxis=properties)

    def update_layout(self, **properties: Any) -> None:
        """Sets properties, also of parts; what is `None` is left to plotly."""
        _merged(self._arrangement, properties)

    def _add_line(self, place: Properties, line: Properties) -> None:
        self._arrangement.setdefault("shapes", []).append(_merged({"type": "line", **place}, {"line": line}))


def chart(palette: Palette, *, height: int, x: str, y: str) -> Chart:
    """An empty chart with the axes every curve is drawn on."""
    axis = {
        "gridcolor": palette.grid,
        "zerolinecolor": palette.grid,
        "linecolor": palette.grid,
        "fixedrange": True,
    }
    return Chart(
        layout={
            "height": height,
            "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
            "font": {"color": palette.text, "size": 13},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "title": {"text": ""}},
            "hovermode": "closest",
            "dragmode": False,
            "xaxis": {**axis, "title": {"text": x, "standoff": 8}},
            "yaxis": {**axis, "title": {"text": y, "standoff": 8}},
        }
    )


def stops(colours: Sequence[str]) -> list[list[Any]]:
    """Colours as plotly's script takes a colour map, each with its place from 0 to 1."""
    return [[index / (len(colours) - 1), colour] for index, colour in enumerate(colours)]


@cache
def _template(name: str) -> Properties:
    template: Properties = plotly.io.templates[name].to_plotly_json()
    return template


def _merged(properties: Properties, more: Mapping[str, Any]) -> Properties:
    """`properties` with more of them, dictionaries merged; without those that are `None`."""
    for name, value in more.items():
        if isinstance(value, dict):
            properties[name] = _merged(properties.get(name, {}), value)
        elif value is not None:
            properties[name] = value
    return properties


def _sent(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: part if name in _AS_THEY_ARE else _sent(part) for name, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_sent(part) for part in value]
    return _bytes(value) if isinstance(value, np.ndarray) and value.size else value


def _bytes(values: np.ndarray) -> Any:
    """Numbers in base64, whole ones in as few bytes as hold them all; other arrays as they are."""
    if values.dtype == np.int64:
        ends = values.min(), values.max()
        fitting = (
            kind for kind in ("i1", "i2", "i4") if np.iinfo(kind).min <= ends[0] and ends[1] <= np.iinfo(kind).max
        )
        values = values.astype(next(fitting, np.int64))
    if (kind := values.dtype.str[1:]) not in _NUMBERS:
        return values
    array = {"dtype": kind, "bdata": base64.b64encode(np.ascontiguousarray(values).data).decode()}
    return array | ({"shape": ", ".join(map(str, values.shape))} if values.ndim > 1 else {})
