"""Image, baseline, twicing; a row for each image (paper Fig. 1 and 11)."""

from __future__ import annotations

from explorer.studio import grids, maps
from explorer.studio.content import Content
from explorer.studio.run import FigureRun
from explorer.studio.template import LABELS, LOOK, Template


def gather(run: FigureRun, layers: tuple[int, ...]) -> Content:
    """A block for each image, the maps of both models beside each other."""
    return maps.gather(run, layers, maps.attention_maps, _layout)


def _layout(run: FigureRun, layers: tuple[int, ...], heads: tuple[str, ...]) -> grids.Layout:
    columns = grids.side_by_side(run.names, layers, heads)
    return grids.Layout(grids.maps_side_by_side(layers, heads), columns, maps.measure(run.spec))


TEMPLATE = Template(
    name="heatmaps",
    title="Heatmaps (paper Fig. 1, 11)",
    settings=("layers", "heads", "matrix", "query", "picture", *LOOK, *LABELS, "colour_bar"),
    off_page=("labels",),
    gather=gather,
    caption=maps.caption,
    is_grid=True,
    is_heatmap=True,
)
