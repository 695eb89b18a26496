"""Magnitudes of the smoothed residual as maps, and beneath them by layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from explorer.arrays import array
from explorer.figures.print.charts import Curves
from explorer.figures.records import Line
from explorer.measures import attention, residual
from explorer.measures.residual import ResidualMagnitudes
from explorer.measures.settings import Quantity
from explorer.studio import curves, grids, maps, phrases
from explorer.studio.content import Content
from explorer.studio.run import FigureRun, chosen_heads, patch
from explorer.studio.spec import Spec
from explorer.studio.template import LABELS, LOOK, Template
from explorer.traces import Trace
from explorer.types import ModelCard

_SYMBOL = {
    Quantity.SMOOTHED_RESIDUAL: r"$\|A(V - AV)\|$",
    Quantity.SMOOTHED: r"$\|AV\|$",
    Quantity.RATIO: r"$\|A(V - AV)\|\,/\,\|AV\|$",
}
_NORM = {
    Quantity.SMOOTHED_RESIDUAL: r"$\|A(V - AV)\|_2$ over the channels of a head, the smoothed residual, before "
    "the output projection",
    Quantity.SMOOTHED: r"$\|AV\|_2$ over the channels of a head, before the output projection",
    Quantity.RATIO: r"$\|A(V - AV)\|_2 / \|AV\|_2$ over the channels of a head; in the curve, ratio of Frobenius norms "
    "over the patch tokens",
}


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """The grid of maps, and beneath it the curve."""
    spec = run.spec
    photos: list[grids.MappedImage] = []
    heads: tuple[str, ...] = ()
    by_layer: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for title, (image, comparison) in zip(run.titles, run.compared(), strict=True):
        heads = chosen_heads(spec, comparison.heads)
        magnitudes = [residual.magnitudes(trace) for trace in comparison]
        sides = tuple(_maps(spec, *both, layers, heads) for both in zip(magnitudes, comparison, strict=True))
        for curve, of_model in zip(by_layer, magnitudes, strict=True):
            curve.append(_curve(spec, of_model, heads))
        photos.append(grids.MappedImage(title, image, sides, [patch(spec, trace) for trace in comparison]))
    columns = grids.side_by_side(run.names, layers, heads)
    measure = f"{_SYMBOL[spec.quantity]} of each patch"
    layout = grids.Layout(grids.maps_side_by_side(layers, heads), columns, measure)
    lines = [
        _would_give_back(spec, curves.banded(name, np.stack(of_model), colour, card), card)
        for (name, colour, card), of_model in zip(run.models, by_layer, strict=True)
    ]
    below = Curves(tuple(lines), _SYMBOL[spec.quantity], first_layer=1)
    return replace(maps.laid_out(run, photos, layers, heads, layout), below=below, table=curves.table(lines, 1))


def _maps(
    spec: Spec, magnitudes: ResidualMagnitudes, trace: Trace, layers: tuple[int, ...], heads: tuple[str, ...]
) -> dict[str, grids.Panel]:
    """Magnitudes of one model by layer and head."""
    per_token = magnitudes.per_token(spec.quantity)
    return {
        grids.key(layer, head): grids.Panel(
            array(attention.patch_maps(_pick(per_token[layer - 1], head), trace)), signed=False
        )
        for layer in layers
        for head in heads
    }


def _pick(per_head: Tensor, head: str) -> Tensor:
    """`[head, token]` to `[token]`; magnitudes are positive, so max is the largest."""
    if head.isdecimal():
        return per_head[int(head) - 1]
    return per_head.mean(dim=0) if head == "mean" else per_head.amax(dim=0)


def _curve(spec: Spec, magnitudes: ResidualMagnitudes, heads: tuple[str, ...]) -> np.ndarray:
    """By layer: of the only head shown, or the mean over all."""
    curve = magnitudes.by_layer(spec.quantity)
    return array(curve[:, int(heads[0]) - 1] if _is_of_one_head(heads) else curve.mean(dim=1))


def _is_of_one_head(heads: tuple[str, ...]) -> bool:
    return len(heads) == 1 and heads[0].isdecimal()


def _would_give_back(spec: Spec, line: Line, card: ModelCard) -> Line:
    """A standard block gives nothing back: its curve says what twicing would."""
    if not card.is_standard or spec.quantity is Quantity.SMOOTHED:
        return line
    return replace(line, name=f"{line.name}, would give back", dash="dash")


def caption(spec: Spec, content: Content) -> list[str]:
    """Which norm, and what the curve beneath is."""
    heads = content.heads if _is_of_one_head(content.heads) else ("mean",)
    band = "; band: one standard deviation between images" if len(content.digests) > 1 else ""
    extra = [f"Below: mean over patches and {phrases.images(content)} by layer, {phrases.heads(heads)}{band}."]
    if spec.quantity is not Quantity.SMOOTHED:
        extra.append("In a standard block nothing is given back: there it is what twicing would give back.")
    return [
        phrases.maps(f"Magnitude of each patch: {_NORM[spec.quantity]}", content),
        *extra,
        phrases.scale(spec, content),
        phrases.photograph(spec),
    ]


TEMPLATE = Template(
    name="residual",
    title="Smoothed residual",
    settings=("layers", "heads", "quantity", "picture", *LOOK, *LABELS, "colour_bar"),
    off_page=("labels", "query"),
    gather=gather,
    caption=caption,
    is_grid=True,
)
