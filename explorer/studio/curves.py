"""Curves by layer over images: their bands and tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.figures.records import Line
from explorer.studio.content import Table
from explorer.types import ROLES, ModelCard


def banded(name: str, curves: np.ndarray, colour: str, card: ModelCard) -> Line:
    """Mean over images `[image, layer]` with a band of one sample standard deviation, none for a single image."""
    return mean(name, curves, colour, "dash" if card.is_counterfactual else "solid")


def mean(name: str, curves: np.ndarray, colour: str, dash: str) -> Line:
    """The same of anything that has a dash of its own."""
    spread = curves.std(axis=0, ddof=1) if len(curves) > 1 else None
    return Line(name, curves.mean(axis=0), colour, spread, dash=dash)


def table(lines: Sequence[Line], first_layer: int) -> Table:
    """Mean and standard deviation by layer, for the layers that both models have."""
    columns = {"layer": np.arange(first_layer, first_layer + len(lines[0].values))}
    for role, line in zip(ROLES, lines, strict=True):
        columns[f"{role}_mean"] = line.values
        columns[f"{role}_std"] = np.zeros_like(line.values) if line.spread is None else line.spread
    return Table.of(columns)
