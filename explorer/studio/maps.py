"""Maps of traces: heatmaps, their evolution, operators, and the residual with its curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from explorer.arrays import array
from explorer.figures.print.charts import Curves
from explorer.figures.records import Line
from explorer.measures import attention, residual
from explorer.measures.attention import Operator
from explorer.measures.residual import ResidualMagnitudes
from explorer.studio import curves, grids
from explorer.studio.content import Content
from explorer.studio.run import Run, chosen_heads, head_choice, patch, token
from explorer.studio.spec import OPERATORS, Spec, Template
from explorer.types import Comparison, ModelCard, Trace

_QUANTITY = {
    "smoothed-residual": r"$\|A(V - AV)\|$",
    "smoothed": r"$\|AV\|$",
    "ratio": r"$\|A(V - AV)\|\,/\,\|AV\|$",
}


def gather(run: Run, layers: tuple[int, ...]) -> Content:
    """The grid of maps, and beneath those of the residual its curve."""
    spec = run.spec
    photos: list[grids.Photo] = []
    heads: tuple[str, ...] = ()
    by_layer: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for shown, comparison in run.compared():
        heads = chosen_heads(spec, comparison.heads)
        if spec.template is Template.RESIDUAL:
            magnitudes = [residual.magnitudes(trace) for trace in comparison]
            sides = _residual_maps(spec, magnitudes, comparison, layers, heads)
            for curve, of_model in zip(by_layer, magnitudes, strict=True):
                curve.append(_residual_curve(spec, of_model, heads))
        else:
            sides = tuple(attention_maps(spec, trace, layers, heads) for trace in comparison)
        photos.append(grids.Photo(shown.title, shown.image, sides, [patch(spec, trace) for trace in comparison]))
    grid, ranges = grids.arrange(spec, photos, run.pair.cards, run.names, layers, heads)
    found = Content(
        grid,
        tuple(run.digests),
        arrays=grids.arrays(photos, run.files),
        layers=layers,
        heads=heads,
        ranges=ranges,
    )
    if spec.template is not Template.RESIDUAL:
        return found
    lines = [
        _would_give_back(spec, curves.banded(name, np.stack(of_model), colour, card), card)
        for (name, colour, card), of_model in zip(run.models, by_layer, strict=True)
    ]
    below = Curves(tuple(lines), _QUANTITY[spec.quantity], first_layer=1)
    return replace(found, below=below, table=curves.table(lines, 1))


def attention_maps(spec: Spec, trace: Trace, layers: tuple[int, ...], heads: tuple[str, ...]) -> dict[str, grids.Panel]:
    """Maps of one model and image by what tells them apart: layer, head and operator."""
    panels: dict[str, grids.Panel] = {}
    query = token(spec, trace)
    several = spec.template is Template.OPERATORS
    operators = (Operator.ATTENTION, Operator.CORRECTION, Operator.TWICING) if several else (OPERATORS[spec.operator],)
    for operator in operators:
        for head in heads:
            maps = array(attention.patch_maps(attention.maps(trace, query, operator, head_choice(head)), trace))
            for layer in layers:
                # Three operators of one matrix share one scale, on which some are negative.
                signed = several or attention.is_signed(operator, trace, layer - 1)
                name = grids.key(layer, head, operator if several else None)
                panels[name] = grids.Panel(maps[layer - 1], signed)
    return panels


def _residual_maps(
    spec: Spec,
    magnitudes: list[ResidualMagnitudes],
    comparison: Comparison,
    layers: tuple[int, ...],
    heads: tuple[str, ...],
) -> tuple[dict[str, grids.Panel], ...]:
    """Magnitudes of both models by layer and head."""
    sides = []
    for of_model, trace in zip(magnitudes, comparison, strict=True):
        found = of_model.per_token(spec.magnitude)
        panels = {}
        for layer in layers:
            for head in heads:
                values = attention.patch_maps(_pick(found[layer - 1], head), trace)
                panels[grids.key(layer, head)] = grids.Panel(array(values), False)
        sides.append(panels)
    return tuple(sides)


def _pick(per_head: Tensor, head: str) -> Tensor:
    """`[head, token]` to `[token]`; magnitudes are positive, so max is the largest."""
    if head.isdecimal():
        return per_head[int(head) - 1]
    return per_head.mean(dim=0) if head == "mean" else per_head.amax(dim=0)


def _residual_curve(spec: Spec, found: ResidualMagnitudes, heads: tuple[str, ...]) -> np.ndarray:
    """By layer: of the only head shown, or the mean over all."""
    curve = found.by_layer(spec.magnitude)
    one = len(heads) == 1 and heads[0].isdecimal()
    return array(curve[:, int(heads[0]) - 1] if one else curve.mean(dim=1))


def _would_give_back(spec: Spec, line: Line, card: ModelCard) -> Line:
    """A standard block gives nothing back: its curve says what twicing would."""
    if not card.is_standard or spec.quantity == "smoothed":
        return line
    return replace(line, name=f"{line.name}, would give back", dash="dash")
