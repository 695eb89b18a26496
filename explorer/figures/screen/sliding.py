"""A sliding chart where its sliders stand, as a plotly figure: how handouts print what the browser draws."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from explorer.figures.screen.chart import Chart, chart
from explorer.figures.sliding import AxisScale, Mark, Positions, Series, Slider, SlidingChart
from explorer.figures.style import Palette, with_alpha

_MODES = {Mark.LINE: "lines", Mark.BOTH: "lines+markers"}


def draw(sliding: SlidingChart, palette: Palette, positions: Positions | None = None, *, height: int = 0) -> Chart:
    """The chart at positions of its sliders, of which a chart of one moment has none."""
    where = positions or {}
    figure = chart(palette, height=height or sliding.height, x=sliding.x.title, y=sliding.y.title)
    for series in sliding.series:
        figure.add_scatter(**_trace(series, palette, where))
    for rule in sliding.rules:
        at = rule.at.values[where[rule.at.key]] if isinstance(rule.at, Slider) else rule.at
        line = figure.add_vline if rule.axis == "x" else figure.add_hline
        line(at, line={"color": palette.theory, "dash": "dot", "width": 1})
    figure.update_xaxes(**_axis(sliding.x, where))
    figure.update_yaxes(**_axis(sliding.y, where))
    if sliding.x.log:
        _ticks(figure, sliding.x.ends.at(where))
    return figure


def _trace(series: Series, palette: Palette, positions: Positions) -> dict[str, Any]:
    colour = getattr(palette, series.role)
    x, y, name = series.x.at(positions), series.y.at(positions), series.name
    trace: dict[str, Any] = {"x": x, "y": y, "name": name, "showlegend": series.in_legend}
    if series.mark is Mark.AREA:
        return trace | {
            "fill": "toself", "fillcolor": with_alpha(colour, 0.15), "line": {"width": 0}, "hoverinfo": "skip"
        }  # fmt: skip
    trace["mode"] = _MODES.get(series.mark, "markers")
    if series.mark in _MODES:
        trace["line"] = {"color": colour, "width": series.width, "dash": series.dash}
    if series.mark is Mark.FAINT:
        trace["marker"] = {"color": with_alpha(colour, 0.35), "size": 5}
    elif series.mark is Mark.RINGS:
        trace["marker"] = {"color": colour, "symbol": f"{series.symbol}-open", "size": 9, "line": {"width": 2}}
    elif series.mark is not Mark.LINE:
        trace["marker"] = {"color": colour, "symbol": series.symbol, "size": 8}
    return trace | {"hovertemplate": f"%{{x:.4g}}: %{{y:.4g}}<extra>{name}</extra>"}


def _axis(axis: AxisScale, positions: Positions) -> dict[str, Any]:
    ends = axis.ends.at(positions)
    if not axis.log:
        return {"range": list(ends)}
    return {"type": "log", "range": list(np.log10(ends)), "exponentformat": "power"}


def _ticks(figure: Chart, ends: np.ndarray) -> None:
    """Ticks at 1, 2 and 5 times the powers of ten between the ends of `x`."""
    low, high = ends
    decades = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(tick) for tick in np.outer(decades, (1, 2, 5)).ravel() if low * 0.99 <= tick <= high * 1.01]
    figure.update_xaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])


def named(text: str, positions: Positions, *sliders: Slider) -> str:
    """A name with the texts of sliders in it."""
    texts = {slider.key: slider.texts[positions[slider.key]] for slider in sliders}
    return re.sub(r"\{([\w-]+)\}", lambda match: texts.get(match[1], match[0]), text)
