"""Charts for print: curves by layer with their bands, filters iterated `n` times, spectra over `2λ − λ²`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from explorer.figures.print.page import QUIET, check_room, plot_area, settings, sheet
from explorer.figures.print.text import fitting, inches, printable
from explorer.figures.records import Line, Points
from explorer.figures.settings import POINTS, Page
from explorer.figures.style import PALETTES, Theme, lookup_table
from explorer.paper import theory

_THEORY = PALETTES[Theme.LIGHT].theory
_ASPECT = 0.62
"""Height per width of a chart that may choose."""
_MARKERS = {"circle": "o", "diamond": "D"}
"""What matplotlib calls plotly's symbols."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves over the layers, of which the first is 0 where the embedding comes first."""

    lines: tuple[Line, ...]
    y: str
    first_layer: int
    letters: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(line.name for line in self.lines)


@dataclass(frozen=True, eq=False)
class Dynamics:
    """`p^n` beside `p_hat^n`; `moduli` are eigenvalues of models, as ticks beneath, by name and colour."""

    iterations: tuple[int, ...]
    moduli: tuple[tuple[str, str, Float[np.ndarray, " _"]], ...] = ()
    letters: bool = False


@dataclass(frozen=True, eq=False)
class Spectra:
    """One panel for each layer, on the same axes."""

    panels: tuple[tuple[str, tuple[Points, ...]], ...]
    letters: bool = False


def draw_curves(chart: Curves, page: Page) -> Figure:
    """One chart, the legend above it."""
    with settings(page):
        line, inner = page.line, page.width - 5.2 * page.line
        key = LegendKey(chart.names, page.width, page)
        apart = 3.6 * line + key.height
        height = min(inner * _ASPECT, page.height - apart)
        check_room(inner, height)
        figure = sheet(page, height + apart)
        axes = plot_area(figure, 4.6 * line, 0.4 * line + key.height, inner, height)
        figure.legend(handles=curves(axes, chart), loc="upper center", bbox_to_anchor=(0.5, 1.0), **key.options)
        return figure


def curves(axes: Axes, chart: Curves) -> list[Line2D]:
    """Draws the curves into axes, and returns them for a legend."""
    drawn: list[Line2D] = []
    for line in chart.lines:
        layers = np.arange(chart.first_layer, chart.first_layer + len(line.values))
        if line.spread is not None:
            axes.fill_between(
                layers, line.values - line.spread, line.values + line.spread, color=line.colour, alpha=0.18, linewidth=0
            )
        style = "--" if line.dashed else "-"
        drawn += axes.plot(layers, line.values, style, marker="o", color=line.colour, zorder=3)
    axes.set_xlabel("Layer")
    axes.set_ylabel(chart.y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=13))
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="0.9", linewidth=0.6 * axes.spines["left"].get_linewidth())
    return drawn


def draw_dynamics(chart: Dynamics, page: Page) -> Figure:
    """Two panels that share their axes."""
    with settings(page):
        line, gap = page.line, 2.0 * page.line
        names = [fitting(name, 0.35 * page.width, 0.875 * page.font_size) for name, _, _ in chart.moduli]
        named = max((inches(name, 0.875 * page.font_size) for name in names), default=0.0)
        start = max(3.0 * line, 1.05 * named + line)
        inner = (page.width - start - line - gap) / 2
        ticks = (0.3 + 0.8 * len(chart.moduli)) * line if chart.moduli else 0.0
        height = min(inner * 0.8, page.height - 4.9 * line - ticks)
        check_room(inner, height)
        figure = sheet(page, height + 4.9 * line + ticks)
        palette = PALETTES[Theme.LIGHT]
        sides = (
            (r"$p^n(x) = x^n$", palette.baseline, theory.standard_power),
            (r"$\hat{p}^{\,n}(x) = (2x - x^2)^n$", palette.twicing, theory.twicing_power),
        )
        x = np.linspace(0, 1, 401)
        for index, (title, colour, power) in enumerate(sides):
            left = start + index * (inner + gap)
            axes = plot_area(figure, left, 1.8 * line, inner, height)
            for shade, n in zip(_shades(colour, len(chart.iterations)), chart.iterations, strict=True):
                axes.plot(x, power(x, n), color=shade, label=f"$n = {n}$")
            axes.set(xlim=(0, 1), ylim=(0, 1.02))
            axes.set_title(lettered(title, index, chart.letters))
            axes.legend(loc="upper left", handlelength=1.3, ncols=1 if len(chart.iterations) <= 6 else 2)
            axes.tick_params(labelleft=index == 0)
            if not chart.moduli:
                axes.set_xlabel("$x$")
            else:
                axes.tick_params(labelbottom=False)
                below = plot_area(figure, left, 1.8 * line + height + 0.2 * line, inner, ticks)
                _moduli(below, chart, names if index == 0 else [""] * len(names))
        return figure


def _moduli(axes: Axes, chart: Dynamics, names: list[str]) -> None:
    """Eigenvalues' moduli as thin ticks, a row for each model."""
    axes.set(xlim=(0, 1), ylim=(len(chart.moduli), 0), yticks=np.arange(len(chart.moduli)) + 0.5)
    axes.set_yticklabels([_literal(name) for name in names])
    for row, (_, colour, moduli) in enumerate(chart.moduli):
        axes.vlines(moduli[moduli <= 1], row + 0.15, row + 0.85, color=colour, alpha=0.35, linewidth=0.5)
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(r"$x$ and $|\lambda|$")


def draw_spectra(chart: Spectra, page: Page) -> Figure:
    """A panel for each layer over the curve: real eigenvalues filled, the others rings coloured by their angle."""
    with settings(page):
        line, gap, count = page.line, 1.2 * page.line, len(chart.panels)
        inner = (page.width - 9.0 * line - gap * (count - 1)) / count
        key = LegendKey(_entries(chart.panels[0][1]), page.width, page)
        top = 1.5 * line + key.height
        height = min(max(inner, 8 * line), page.height - top - 5.3 * line)
        check_room(inner, height)
        figure = sheet(page, height + top + 5.3 * line)
        everything = [points for _, panel in chart.panels for points in panel]
        right = 1.04 * max(1.0, *(float(np.abs(p.eigenvalues).max()) for p in everything))
        upper = 1.04 * max(1.0, *(float(np.abs(p.mapped).max()) for p in everything))
        for index, (title, panel) in enumerate(chart.panels):
            axes = plot_area(figure, 3.8 * line + index * (inner + gap), top, inner, height)
            _overlay(axes, panel, right)
            axes.set(xlim=(0, right), ylim=(0, upper))
            axes.set_title(lettered(title, index, chart.letters))
            axes.set_xlabel(r"$|\lambda|$")
            axes.tick_params(labelleft=index == 0)
            if index == 0:
                axes.set_ylabel(r"$|2\lambda - \lambda^2|$")
            left = ", ".join(f"{p.outside} of {len(p.eigenvalues)}" for p in panel)
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.text(
                0.5,
                -2.9 * line / height,
                f"leave the unit disc:\n{left}",
                transform=axes.transAxes,
                ha="center",
                va="top",
            )
        _angles(figure, 3.8 * line + count * (inner + gap) - 0.4 * line, top, 0.6 * line, height)
        handles = _handles(chart.panels[0][1])
        figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 1.0), **key.options)
        return figure


def _overlay(axes: Axes, panel: tuple[Points, ...], right: float) -> None:
    x = np.linspace(0, right, 200)
    axes.plot(x, 2 * x - x**2, "--", color=_THEORY, linewidth=0.8)
    axes.plot(x, x, ":", color=_THEORY, linewidth=0.8)
    axes.axhline(1, color="0.85", linewidth=0.6, zorder=0)
    colours = lookup_table("magma")
    for points in panel:
        modulus, image = np.abs(points.eigenvalues), np.abs(points.mapped)
        on, zero = points.on_curve, points.vanishing
        off = ~on & ~zero
        angle = np.abs(np.angle(points.eigenvalues[off])) / np.pi
        rings = colours[(angle * 220).round().astype(np.uint8)] / 255
        size = 0.35 * float(axes.xaxis.label.get_fontsize()) ** 2 / 2
        marker = _MARKERS[points.symbol]
        axes.scatter(modulus[zero], image[zero], size / 2, marker=marker, color=points.colour, alpha=0.3, lw=0)
        axes.scatter(modulus[off], image[off], size, marker=marker, facecolors="none", edgecolors=rings, lw=0.5)
        axes.scatter(modulus[on], image[on], size, marker=marker, color=points.colour, lw=0, zorder=3)


def _angles(figure: Figure, left: float, top: float, width: float, height: float) -> None:
    """The bar of the rings' colours."""
    axes = plot_area(figure, left, top, width, height)
    ramp = lookup_table("magma")[(np.linspace(1, 0, 256) * 220).round().astype(np.uint8)][:, None]
    axes.imshow(ramp, extent=(0, 1, 0, np.pi), aspect="auto", interpolation="none")
    axes.set(xticks=[], yticks=[0, np.pi / 2, np.pi], ylim=(0, np.pi))
    axes.set_yticklabels(["0", r"$\pi/2$", r"$\pi$"])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(r"$|\arg \lambda|$")


def _entries(panel: tuple[Points, ...]) -> tuple[str, ...]:
    return tuple(f"{p.name}, {kind}" for p in panel for kind in ("real", "others"))


def _handles(panel: tuple[Points, ...]) -> list[Line2D]:
    size = 0.5 * float(Line2D([], []).get_markersize()) + 2
    return [
        Line2D([], [], ls="", marker=_MARKERS[p.symbol], mfc=face, mec=edge, ms=size)
        for p in panel
        for face, edge in ((p.colour, p.colour), ("none", QUIET))
    ]


class LegendKey:
    """A legend's entries in as few rows as so many inches allow; an entry that fits no row is cut."""

    def __init__(self, entries: tuple[str, ...], width: float, page: Page) -> None:
        size = 0.875 * page.font_size
        em = size / POINTS
        widest = max(inches(printable(entry), size) for entry in entries)
        self._columns = next((n for n in (4, 2) if n <= len(entries) and n * (widest + 4.8 * em) <= width + em), 1)
        self._labels = [_literal(fitting(entry, width - 4.8 * em, size)) for entry in entries]
        self.height = 1.4 * page.line * -(-len(entries) // self._columns)

    @property
    def options(self) -> dict[str, Any]:
        """For matplotlib's `legend`, which fills columns first."""
        return {"labels": self._labels, "ncols": self._columns}


def _shades(colour: str, count: int) -> list[tuple[float, float, float]]:
    """From light to the colour itself."""
    rgb = np.array(to_rgba(colour)[:3])
    shares = np.linspace(0.4, 1.0, count) if count > 1 else np.ones(1)
    return [(float(r), float(g), float(b)) for r, g, b in (1 - share * (1 - rgb) for share in shares)]


def lettered(title: str, index: int, letters: bool) -> str:
    return f"({chr(ord('a') + index % 26)}) {title}" if letters else title


def _literal(text: str) -> str:
    """Text that is not ours, for matplotlib to take literally."""
    return printable(text).replace("$", r"\$")
