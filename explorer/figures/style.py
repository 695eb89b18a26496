"""One visual language for every chart: a colour for each model, sequential and diverging maps, quiet axes.

Baseline blue and twicing vermillion are Okabe & Ito's colour-blind-safe pair; both are lighter on dark ground.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import UInt8

from explorer.figures.settings import ColourMap
from explorer.settings import Option


class Theme(Option):
    """The ground that charts lie on."""

    LIGHT = "light"
    DARK = "dark"


_SCALES = {
    name: stops.split()
    for name, stops in {
        "cividis": "#00224e #123570 #3b496c #575d6d #707173 #8a8678 #a59c74 #c3b369 #e1cc55 #fee838",
        "viridis": "#440154 #482878 #3e4989 #31688e #26828e #1f9e89 #35b779 #6ece58 #b5de2b #fde725",
        "magma": "#000004 #180f3d #440f76 #721f81 #9e2f7f #cd4071 #f1605d #fd9668 #feca8d #fcfdbf",
        "diverging": "#2166ac #4393c3 #92c5de #d1e5f0 #f7f7f7 #fddbc7 #f4a582 #d6604d #b2182b",
        "cold": "#2f6fb5 #4fa8ff #8fd3ff",  # negative values over a photograph on the screen
    }.items()
}
"""Plotly's, which print uses without it; of its `RdBu_r` without the ends, too dark over a dim photograph."""


@dataclass(frozen=True)
class Palette:
    """Colours of one theme."""

    baseline: str
    twicing: str
    theory: str
    text: str
    grid: str
    others: tuple[str, ...]
    """Of operators beside standard and twicing, in their order."""

    @property
    def models(self) -> tuple[str, str]:
        return self.baseline, self.twicing


_OTHERS = ("#009E73", "#AA4499", "#9A6B00", "#6A5ACD", "#444B54")
_OTHERS_ON_DARK = ("#3CC79B", "#E09BC2", "#E5BE4C", "#AFA1F5", "#C3C9D2")
PALETTES: dict[Theme, Palette] = {
    Theme.LIGHT: Palette("#0072B2", "#D55E00", "#7A7A7A", "#1F2430", "#E3E6EB", _OTHERS),
    Theme.DARK: Palette("#56A9DD", "#F08A45", "#9A9FA8", "#E8EAED", "#323844", _OTHERS_ON_DARK),
}


_DASHES = ("dash", "dot", "dashdot", "longdash")


def operator_strokes(trained: Mapping[str, bool], palette: Palette) -> list[tuple[str, str]]:
    """Colour and dash of each operator by its name: standard and twicing as their models, the others in their order.

    What the weights were trained with is solid, every counterfactual dashed.
    """
    known, others, strokes = {"standard": palette.baseline, "twicing": palette.twicing}, 0, []
    for name, is_trained in trained.items():
        colour, dash = known.get(name), _DASHES[0]
        if colour is None:
            colour, dash = palette.others[others % len(palette.others)], _DASHES[others // len(palette.others) % 4]
            others += 1
        strokes.append((colour, "solid" if is_trained else dash))
    return strokes


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
    """The stops of a colour map, evenly spread, as `#rrggbb`."""
    stops: list[str] = _SCALES[name]
    return stops


@cache
def lookup_table(name: str) -> UInt8[np.ndarray, "256 3"]:
    """A colour map sampled at 256 places, equal to what the colour bar shows."""
    stops = [bytes.fromhex(colour[1:]) for colour in _SCALES[name]]
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(np.linspace(0, 1, 256), places, [stop[i] for stop in stops]) for i in (0, 1, 2)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def with_alpha(colour: str, alpha: float) -> str:
    """`#RRGGBB` as `rgba(...)`."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
