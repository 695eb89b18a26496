"""Layers early to late, a row for each model (paper Fig. 10)."""

from __future__ import annotations

import numpy as np

from explorer.figures.print.cells import Columns
from explorer.studio import grids, maps
from explorer.studio.content import Content
from explorer.studio.run import COLOURS, FigureRun
from explorer.studio.template import LABELS, LOOK, Template


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """A block for each image: for each head, the baseline's row and the row of twicing."""
    return maps.gather(run, layers, maps.attention_maps, _layout)


def _layout(run: FigureRun, layers: tuple[int, ...], heads: tuple[str, ...]) -> grids.Layout:
    rows = tuple(
        grids.MapRow(
            tuple((side, grids.key(layer, head)) for layer in layers),
            grids.with_head(run.names[side], heads, head),
            COLOURS[side],
        )
        for head in heads
        for side in (0, 1)
    )
    return grids.Layout(rows, (Columns(tuple(map(str, layers)), "Layer"),), maps.measure(run.spec))


def _evenly(depth: int) -> tuple[int, ...]:
    """All layers, or twelve of them."""
    return tuple(np.unique(np.linspace(1, depth, min(depth, 12)).round().astype(int)).tolist())


TEMPLATE = Template(
    name="evolution",
    title="Evolution over layers (Fig. 10)",
    settings=("layers", "heads", "matrix", "query", "picture", *LOOK, *LABELS, "colour_bar"),
    off_page=("labels",),
    gather=gather,
    caption=maps.caption,
    default_layers=_evenly,
    is_grid=True,
    is_heatmap=True,
)
