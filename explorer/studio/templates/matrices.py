"""`A`, `A − A²` and `2A − A²` for one query."""

from __future__ import annotations

from explorer.figures.print.cells import Columns
from explorer.measures.settings import Matrix
from explorer.studio import grids, maps
from explorer.studio.content import Content
from explorer.studio.run import COLOURS, FigureRun
from explorer.studio.spec import Spec
from explorer.studio.template import LABELS, LOOK, Template
from explorer.traces import Trace

_THREE = (Matrix.ATTENTION, Matrix.CORRECTION, Matrix.TWICING)


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """A block for each image: for each layer and head, a row for each model."""
    return maps.gather(run, layers, _maps, _layout)


def _maps(spec: Spec, trace: Trace, layers: tuple[int, ...], heads: tuple[str, ...]) -> dict[str, grids.Panel]:
    """Three matrices of one share one scale, on which some are negative."""
    panels: dict[str, grids.Panel] = {}
    for matrix in _THREE:
        for head in heads:
            values = maps.of_query(spec, trace, matrix, head)
            panels |= {grids.key(layer, head, matrix): grids.Panel(values[layer - 1], True) for layer in layers}
    return panels


def _layout(run: FigureRun, layers: tuple[int, ...], heads: tuple[str, ...]) -> grids.Layout:
    rows = tuple(
        grids.MapRow(
            tuple((side, grids.key(layer, head, matrix)) for matrix in _THREE),
            grids.row_label(run.names[side], layers, layer, heads, head),
            COLOURS[side],
        )
        for layer in layers
        for head in heads
        for side in (0, 1)
    )
    columns = Columns(tuple(matrix.label for matrix in _THREE))
    return grids.Layout(rows, (columns,), "row of the query", group=grids.but_last)


def caption(spec: Spec, content: Content) -> list[str]:
    """Which rows, of which query."""
    return maps.caption(spec, content, "rows of $A$, $A - A^2$ and $2A - A^2$")


TEMPLATE = Template(
    name="matrices",
    title="Matrices of one query",
    settings=("layers", "heads", "query", "picture", *LOOK, *LABELS, "colour_bar"),
    off_page=("labels",),
    gather=gather,
    caption=caption,
    is_grid=True,
    is_heatmap=True,
)
