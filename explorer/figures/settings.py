"""What may be chosen of a figure; without plotly and matplotlib, for the command whose options these are."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.settings import Option

POINTS = 72.0
"""Points in an inch."""


class ColourMap(Option):
    """Colours of unsigned maps."""

    CIVIDIS = "cividis"
    VIRIDIS = "viridis"
    MAGMA = "magma"


class ColourScale(Option):
    """Where the colours of maps end."""

    MAP = "map"
    """At each map's own largest value."""
    SHARED = "shared"
    """At the largest of both models."""
    FIGURE = "figure"


@dataclass(frozen=True)
class Look:
    """How maps are drawn."""

    colour_map: ColourMap = ColourMap.CIVIDIS
    opacity: float = 0.8
    smooth: bool = True


@dataclass(frozen=True)
class Page:
    """Size and type of a figure: inches, dots per inch, points."""

    width: float
    height: float
    """The most it may be high; most figures are as high as they need."""
    dpi: int = 300
    font: str = "serif"
    """`serif`, `sans` or the name of an installed font."""
    font_size: float = 8.0

    @property
    def line(self) -> float:
        """Height of a line of text in inches."""
        return 1.25 * self.font_size / POINTS
