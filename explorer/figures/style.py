"""One visual language for every chart: a colour for each model, sequential and diverging maps, quiet axes.

Baseline blue and twicing vermillion are Okabe & Ito's colour-blind-safe pair; both are lighter on dark ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import plotly.colors  # type: ignore[import-untyped]
import plotly.graph_objects as go  # type: ignore[import-untyped]
from jaxtyping import UInt8

from explorer.figures.settings import ColourMap
from explorer.settings import Option


class Theme(Option):
    """The ground that charts lie on."""

    LIGHT = "light"
    DARK = "dark"


_SCALES = {
    "cividis": plotly.colors.sequential.Cividis,
    "viridis": plotly.colors.sequential.Viridis,
    "magma": plotly.colors.sequential.Magma,
    "cold": ["#2F6FB5", "#4FA8FF", "#8FD3FF"],  # negative values over a photograph on the screen
    "diverging": plotly.colors.diverging.RdBu_r[1:-1],  # its ends are too dark to be seen over a dim photograph
}


@dataclass(frozen=True)
class Palette:
    """Colours of one theme."""

    baseline: str
    twicing: str
    theory: str
    text: str
    grid: str

    @property
    def models(self) -> tuple[str, str]:
        return self.baseline, self.twicing


PALETTES: dict[Theme, Palette] = {
    Theme.LIGHT: Palette("#0072B2", "#D55E00", "#7A7A7A", "#1F2430", "#E3E6EB"),
    Theme.DARK: Palette("#56A9DD", "#F08A45", "#9A9FA8", "#E8EAED", "#323844"),
}


@dataclass(frozen=True)
class Range:
    """The numbers at the two ends of a colour scale."""

    low: float
    high: float

    @property
    def signed(self) -> bool:
        return self.low < 0

    @classmethod
    def of(cls, *arrays: np.ndarray, signed: bool) -> Range:
        """From 0 to the largest value, or around 0 to the largest magnitude for signed data."""
        largest = max((float(np.abs(a).max()) for a in arrays), default=0.0) or 1e-12
        return cls(-largest if signed else 0.0, largest)

    def unit(self, values: np.ndarray) -> np.ndarray:
        """Values as a share of the range, clipped to [0, 1]."""
        return np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)


def scale_name(colour_map: ColourMap, range: Range) -> str:
    """The chosen map, or the diverging one for signed data."""
    return "diverging" if range.signed else colour_map


def colour_scale(name: str) -> list[str]:
    """Plotly's stops of a colour map."""
    stops: list[str] = _SCALES[name]
    return stops


@cache
def lookup_table(name: str) -> UInt8[np.ndarray, "256 3"]:
    """A colour map sampled at 256 places, equal to what the colour bar shows."""
    stops = [plotly.colors.unlabel_rgb(c) for c in plotly.colors.convert_colors_to_same_type(_SCALES[name])[0]]
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(np.linspace(0, 1, 256), places, [stop[i] for stop in stops]) for i in (0, 1, 2)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def with_alpha(colour: str, alpha: float) -> str:
    """`#RRGGBB` as `rgba(...)`."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def chart(palette: Palette, *, height: int, x: str, y: str) -> go.Figure:
    """An empty chart with the axes every curve is drawn on.

    Everything goes into one layout: plotly checks it once, in 3 ms where three updates take 16.
    """
    axis = {
        "gridcolor": palette.grid,
        "zerolinecolor": palette.grid,
        "linecolor": palette.grid,
        "fixedrange": True,
    }
    return go.Figure(
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
