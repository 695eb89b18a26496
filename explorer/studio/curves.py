"""Curves by layer over images, with their bands and tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.arrays import array
from explorer.figures.print.charts import Curves
from explorer.figures.records import Line
from explorer.measures import similarity
from explorer.studio.content import Content, Table
from explorer.studio.run import Run
from explorer.types import ROLES, ModelCard


def similarities(run: Run, layers: tuple[int, ...]) -> Content:
    """Token similarity of both models."""
    spec = run.spec
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for _, comparison in run.compared():
        for of_model, trace in zip(found, comparison, strict=True):
            of_model.append(array(similarity.token_similarity(trace, spec.definition)))
    lines = [
        banded(name, np.stack(of_model), colour, card)
        for (name, colour, card), of_model in zip(run.models, found, strict=True)
    ]
    arrays = {"images": np.array(run.files), **dict(zip(ROLES, map(np.stack, found), strict=True))}
    y = "Mean absolute cosine of tokens" if spec.absolute else "Token similarity"
    shown = Curves(tuple(lines), y, first_layer=0, letters=spec.letters)
    return Content(shown, tuple(run.digests), arrays=arrays, table=table(lines, 0))


def banded(name: str, curves: np.ndarray, colour: str, card: ModelCard) -> Line:
    """Mean over images `[image, layer]` with a band of one sample standard deviation, none for a single image."""
    spread = curves.std(axis=0, ddof=1) if len(curves) > 1 else None
    return Line(name, curves.mean(axis=0), colour, spread, dash="dash" if card.is_counterfactual else "solid")


def table(lines: Sequence[Line], first_layer: int) -> Table:
    """Mean and standard deviation by layer, for the layers that both models have."""
    columns = {"layer": np.arange(first_layer, first_layer + len(lines[0].values))}
    for role, line in zip(ROLES, lines, strict=True):
        columns[f"{role}_mean"] = line.values
        columns[f"{role}_std"] = np.zeros_like(line.values) if line.spread is None else line.spread
    return Table.of(columns)
