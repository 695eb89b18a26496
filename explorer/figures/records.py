"""What is drawn, on the screen and in print: lines over layers, trials against a strength, eigenvalues as points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Complex, Float

from explorer.measures.settings import ROUNDING

if TYPE_CHECKING:
    from explorer.measures.spectrum import Spectrum

LayerValues = Float[np.ndarray, " layer"]
PointValues = Float[np.ndarray, " point"]

SYMBOLS = ("circle", "diamond")
"""Of the baseline and of twicing, by plotly's names."""


@dataclass(frozen=True, eq=False)
class Line:
    """A curve of one model; `spread` draws a band of that width to both sides."""

    name: str
    values: LayerValues
    colour: str
    spread: LayerValues | None = None
    dash: str = "solid"
    faint: bool = False

    @property
    def dashed(self) -> bool:
        """Whether it is drawn other than solid, where there is one dash only."""
        return self.dash != "solid"


@dataclass(frozen=True, eq=False)
class Trial:
    """A curve against a strength; `low` and `high` are the ends of its band."""

    name: str
    x: PointValues
    y: PointValues
    colour: str
    low: PointValues | None = None
    high: PointValues | None = None
    dash: str = "solid"
    faint: bool = False


@dataclass(frozen=True, eq=False)
class Points:
    """Eigenvalues of one model, all heads asked for in one row, and what the map makes of them."""

    name: str
    colour: str
    symbol: str
    eigenvalues: Complex[np.ndarray, " token"]
    mapped: Complex[np.ndarray, " token"]
    """`2 lambda - lambda^2`."""
    on_curve: Bool[np.ndarray, " token"]
    """Where `lambda` is not 0, real and not negative, up to its noise."""
    vanishing: Bool[np.ndarray, " token"]
    """Where it cannot be told from 0."""

    @classmethod
    def of(
        cls, name: str, colour: str, symbol: str, spectra: Sequence[Spectrum], heads: Sequence[int] | None = None
    ) -> Points:
        """The eigenvalues of several spectra, one after the other; `heads` from 0, all by default."""
        import torch  # where figures are printed there is none

        picked = slice(None) if heads is None else list(heads)
        parts = [(each.eigenvalues, each.mapped(), each.on_curve(), each.vanishing()) for each in spectra]
        joined = (torch.cat([part[picked].flatten() for part in of_all]) for of_all in zip(*parts, strict=True))
        return cls(name, colour, symbol, *(tensor.numpy() for tensor in joined))

    @property
    def nonzero(self) -> int:
        """How many can be told from 0."""
        return int((~self.vanishing).sum())

    @property
    def outside(self) -> int:
        """How many leave the unit disc under the map."""
        return int((np.abs(self.mapped) > 1 + ROUNDING).sum())
