"""Curves over the layers: token similarity with its band, magnitudes of the smoothed residual."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from explorer.figures.records import Line
from explorer.figures.screen.chart import Chart, chart
from explorer.figures.style import Palette, with_alpha


def by_layer(
    lines: Sequence[Line],
    palette: Palette,
    *,
    y: str,
    first_layer: int,
    layer: int | None = None,
    height: int = 380,
    y_range: tuple[float, float] | None = None,
) -> Chart:
    """One point per layer and line; `first_layer` is 0 where the embedding comes first, `layer` marks one."""
    figure = chart(palette, height=height, x="Layer", y=y)
    for line in lines:
        layers = np.arange(first_layer, first_layer + len(line.values))
        if line.spread is not None:
            _add_band(figure, layers, line)
        figure.add_scatter(
            x=layers,
            y=line.values,
            name=html.escape(line.name),
            mode="lines" if line.faint else "lines+markers",
            line={
                "color": with_alpha(line.colour, 0.35) if line.faint else line.colour,
                "width": 1.2 if line.faint else 2.5,
                "dash": line.dash,
            },
            marker={"size": 6},
            showlegend=not line.faint,
            hovertemplate="layer %{x}: %{y:.4g}<extra>" + html.escape(line.name) + "</extra>",
        )
    if layer is not None:
        figure.add_vline(x=layer, line={"color": palette.theory, "dash": "dot", "width": 1})
    figure.update_xaxes(dtick=1 if len(lines[0].values) <= 16 else None, showgrid=False)
    figure.update_yaxes(range=y_range, rangemode="normal" if y_range else "tozero")
    return figure


def _add_band(figure: Chart, layers: np.ndarray, line: Line) -> None:
    assert line.spread is not None
    figure.add_scatter(
        x=np.concatenate([layers, layers[::-1]]),
        y=np.concatenate([line.values + line.spread, (line.values - line.spread)[::-1]]),
        fill="toself",
        fillcolor=with_alpha(line.colour, 0.16),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )
