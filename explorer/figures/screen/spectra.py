"""Spectra: the complex plane, the overlay on `2λ − λ²`, sorted moduli, eigencapacity."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import plotly.colors  # type: ignore[import-untyped]

from explorer.figures.records import Line, Points
from explorer.figures.screen.chart import Chart, chart, stops
from explorer.figures.style import Palette, with_alpha
from explorer.paper import theory
from explorer.settings import Option


class Plane(Option):
    """Which eigenvalues the complex plane has."""

    BEFORE = "λ"
    MAPPED = "2λ − λ²"


def complex_plane(models: Sequence[Points], palette: Palette, *, mapped: bool, height: int = 420) -> Chart:
    """Eigenvalues in the complex plane with the unit circle, before or after the map, on equal axes."""
    figure = chart(palette, height=height, x="Real part", y="Imaginary part")
    angle = np.linspace(0, 2 * np.pi, 200)
    figure.add_scatter(
        x=np.cos(angle),
        y=np.sin(angle),
        mode="lines",
        name="unit circle",
        line={"color": palette.theory, "dash": "dash", "width": 1.5},
        hoverinfo="skip",
    )
    for points in models:
        values, name = points.mapped if mapped else points.eigenvalues, html.escape(points.name)
        figure.add_scatter(
            x=values.real,
            y=values.imag,
            mode="markers",
            name=name,
            marker={"color": with_alpha(points.colour, 0.75), "symbol": points.symbol, "size": 7},
            hovertemplate="%{x:.4f} %{y:+.4f} i<extra>" + name + "</extra>",
        )
    figure.update_yaxes(scaleanchor="x", constrain="domain")
    figure.update_xaxes(constrain="domain")
    return figure


def overlay(models: Sequence[Points], palette: Palette, *, height: int = 420) -> Chart:
    """`|2λ − λ²|` against `|λ|` over the curve: real `λ > 0` lie on it, the others are rings, coloured by `|arg λ|`.

    Faint are those that cannot be told from 0: what they look like says nothing.
    """
    figure = chart(palette, height=height, x="|λ|", y="|2λ − λ²|")
    right = max(1.0, *(float(np.abs(p.eigenvalues).max()) for p in models))
    x = np.linspace(0, right, 200)
    for y, name, dash in ((2 * x - x**2, "2λ − λ²", "dash"), (x, "λ (standard)", "dot")):
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            name=name,
            line={"color": palette.theory, "dash": dash, "width": 1.5},
            hoverinfo="skip",
        )
    for index, points in enumerate(models):
        modulus, image, name = np.abs(points.eigenvalues), np.abs(points.mapped), html.escape(points.name)
        angle = np.abs(np.angle(points.eigenvalues))
        on, zero = points.on_curve, points.vanishing
        off = ~on & ~zero
        if zero.any():
            figure.add_scatter(
                x=modulus[zero],
                y=image[zero],
                mode="markers",
                name=f"{name}: 0 up to noise",
                marker={"color": with_alpha(points.colour, 0.3), "symbol": points.symbol, "size": 5},
                hovertemplate="|λ| %{x:.1e}, below its noise<extra>" + name + "</extra>",
            )
        figure.add_scatter(
            x=modulus[on],
            y=image[on],
            mode="markers",
            name=f"{name}: real, > 0",
            marker={"color": points.colour, "symbol": points.symbol, "size": 8},
            hovertemplate="|λ| %{x:.4f} → %{y:.4f}<extra>" + name + "</extra>",
        )
        figure.add_scatter(
            x=modulus[off],
            y=image[off],
            mode="markers",
            name=f"{name}: complex or negative",
            customdata=angle[off],
            marker={
                "color": angle[off],
                "cmin": 0,
                "cmax": np.pi,
                "colorscale": stops(plotly.colors.sequential.Plasma),
                "symbol": f"{points.symbol}-open",
                "size": 8,
                "line": {"width": 2},
                "showscale": index == 0,
                "colorbar": {
                    "title": {"text": "|arg λ|"},
                    "thickness": 10,
                    "tickvals": [0, np.pi / 2, np.pi],
                    "ticktext": ["0", "π/2", "π"],
                },
            },
            hovertemplate="|λ| %{x:.4f} → %{y:.4f}, |arg λ| %{customdata:.2f}<extra>" + name + "</extra>",
        )
    figure.add_hline(y=1, line={"color": palette.theory, "width": 1})
    return figure


def sorted_moduli(models: Sequence[Points], palette: Palette, *, height: int = 380) -> Chart:
    """Moduli, largest first, before (solid) and after (dotted) the map."""
    lines = [
        Line(f"{points.name} {which}", np.sort(np.abs(values))[::-1], points.colour, dash=dash)
        for points in models
        for values, which, dash in (
            (points.eigenvalues, "|λ|", "solid"),
            (points.mapped, "|2λ − λ²|", "dot"),
        )
    ]
    return ranked(lines, palette, y="Modulus", height=height)


def ranked(lines: Sequence[Line], palette: Palette, *, y: str, height: int = 380) -> Chart:
    """Values against their rank, which are sorted already."""
    figure = chart(palette, height=height, x="Rank", y=y)
    for line in lines:
        name = html.escape(line.name)
        figure.add_scatter(
            x=np.arange(1, len(line.values) + 1),
            y=line.values,
            mode="lines",
            name=name,
            line={"color": line.colour, "dash": line.dash, "width": 2.2},
            hovertemplate="rank %{x}: %{y:.4f}<extra>" + name + "</extra>",
        )
    figure.update_xaxes(showgrid=False, type="log", tickvals=[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
    figure.update_yaxes(rangemode="tozero")
    return figure


def eigencapacity(palette: Palette, steps: int, *, height: int = 300) -> Chart:
    """`κ_n` of both filters for `n` up to `steps` (Prop. 1)."""
    figure = chart(palette, height=height, x="n, times the filter is applied", y="Eigencapacity κₙ")
    n = np.arange(1, steps + 1)
    for name, values, symbol in (
        ("standard: 1 / (n + 1)", [theory.eigencapacity_standard(int(i)) for i in n], "circle"),
        ("twicing: 4ⁿ (n!)² / (2n + 1)!", [theory.eigencapacity_twicing(int(i)) for i in n], "diamond"),
    ):
        figure.add_scatter(
            x=n,
            y=values,
            mode="lines+markers",
            name=name,
            line={"color": palette.theory, "width": 2.5, "dash": "dash"},
            marker={"symbol": symbol, "size": 8},
            hovertemplate="n = %{x}: %{y:.4f}<extra></extra>",
        )
    figure.update_xaxes(dtick=1 if steps <= 16 else None, showgrid=False)
    figure.update_yaxes(rangemode="tozero")
    return figure
