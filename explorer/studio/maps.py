"""Rows of attention as maps: of one image and model, and the figure of them that several templates lay out anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from explorer.arrays import array
from explorer.measures import attention
from explorer.measures.settings import Matrix
from explorer.studio import grids, phrases
from explorer.studio.content import Content
from explorer.studio.run import FigureRun, chosen_heads, head_choice, patch, token
from explorer.studio.spec import Spec
from explorer.traces import Trace

Layers = tuple[int, ...]
HeadNames = tuple[str, ...]
MapsOf = Callable[[Spec, Trace, Layers, HeadNames], dict[str, grids.Panel]]
"""Maps of one model and image by what tells them apart."""
LayoutOf = Callable[[FigureRun, Layers, HeadNames], grids.Layout]


def gather(run: FigureRun, layers: Layers, maps_of: MapsOf, layout_of: LayoutOf) -> Content:
    """A grid of maps of every image's traces."""
    photos: list[grids.MappedImage] = []
    heads: HeadNames = ()
    for title, (image, comparison) in zip(run.titles, run.compared(), strict=True):
        heads = chosen_heads(run.spec, comparison.heads)
        sides = tuple(maps_of(run.spec, trace, layers, heads) for trace in comparison)
        photos.append(grids.MappedImage(title, image, sides, [patch(run.spec, trace) for trace in comparison]))
    return laid_out(run, photos, layers, heads, layout_of(run, layers, heads))


def laid_out(
    run: FigureRun, photos: list[grids.MappedImage], layers: Layers, heads: HeadNames, layout: grids.Layout
) -> Content:
    """The grid, its maps as numbers, and where its colours end."""
    grid, ranges = grids.arrange(run.spec, photos, run.pair.cards, layout)
    arrays = grids.arrays(photos, run.files)
    return Content(grid, tuple(run.digests), arrays=arrays, layers=layers, heads=heads, ranges=ranges)


def attention_maps(spec: Spec, trace: Trace, layers: Layers, heads: HeadNames) -> dict[str, grids.Panel]:
    """Maps of the setting's matrix by layer and head."""
    panels: dict[str, grids.Panel] = {}
    for head in heads:
        values = of_query(spec, trace, spec.matrix, head)
        for layer in layers:
            signed = attention.is_signed(spec.matrix, trace, layer - 1)
            panels[grids.key(layer, head)] = grids.Panel(values[layer - 1], signed)
    return panels


def of_query(spec: Spec, trace: Trace, matrix: Matrix, head: str) -> np.ndarray:
    """The query's row under a matrix, `[layer, row, column]`."""
    return array(attention.patch_maps(attention.maps(trace, token(spec, trace), matrix, head_choice(head)), trace))


def measure(spec: Spec) -> str:
    """What the colours of `attention_maps` measure, as matplotlib's mathematics."""
    return {
        Matrix.EFFECTIVE: "effective attention of the query",
        Matrix.ATTENTION: "$A$, attention of the query",
        Matrix.CORRECTION: "$A - A^2$, row of the query",
        Matrix.TWICING: "$2A - A^2$, row of the query",
        Matrix.ROLLOUT: "attention rollout of the query",
    }[spec.matrix]


def caption(spec: Spec, content: Content, rows: str = "") -> list[str]:
    """What a figure of such maps says; `rows` where it is not the setting's matrix that is shown."""
    return [
        phrases.maps(phrases.attention(spec, rows), content),
        phrases.scale(spec, content),
        phrases.photograph(spec),
    ]
