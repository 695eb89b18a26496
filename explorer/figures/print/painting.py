"""Lays pictures, maps and colour bars on a sheet."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from explorer.figures.maps import Map, ScreenPicture, coloured, dim_grey
from explorer.figures.print.cells import Bar, Cell, Grid, Region
from explorer.figures.print.page import place
from explorer.figures.print.text import write
from explorer.figures.settings import Look, Page
from explorer.figures.style import Range
from explorer.types import Size

_MAP_DPI = 150
_PARTS = 4
"""A sharp pixel is cut into so many before it is scaled, so that its edges are where they belong."""


class Painter:
    """Lays cells on the sheet; the same photograph is prepared once."""

    def __init__(self, axes: Axes, page: Page, grid: Grid, vector: bool) -> None:
        self.axes, self.page, self.grid, self.vector = axes, page, grid, vector
        self._ready: dict[tuple[int, Size, bool], ScreenPicture] = {}

    def cell(self, cell: Cell, left: float, top: float, width: float, height: float) -> None:
        """One panel; a picture of another shape than the place is in its middle."""
        left, top, width, height = _within(cell.aspect, left, top, width, height)
        if cell.values is None or not self.grid.bare:
            place(self.axes, self._fitted(cell, width), left, top, width, height)
        if cell.values is not None:
            region = cell.region
            box = (left + region.left * width, top + region.top * height, region.width * width, region.height * height)
            place(self.axes, self._map(cell.values, cell.range, box[2]), *box)
        if cell.mark is not None:
            self._outline(cell.mark, left, top, width, height)

    def _outline(self, mark: Region, left: float, top: float, width: float, height: float) -> None:
        corner = left + mark.left * width, top + mark.top * height
        size = mark.width * width, mark.height * height
        for colour, points in (("black", 0.2), ("white", 0.1)):
            width = points * self.page.font_size
            self.axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=width))

    def _fitted(self, cell: Cell, width: float) -> UInt8[np.ndarray, "height width 3"]:
        """A photograph of exactly the page's dpi; for PDF and SVG never more than its own pixels.

        Sharp pixels are cut into so many parts first that their edges stay where they are; PDF and SVG take them so.
        """
        picture, dim = cell.picture, cell.values is not None
        columns = max(1, round(width * self.page.dpi))
        factor = -(-columns // picture.shape[1]) if cell.is_sharp else 1
        if self.vector:
            columns = picture.shape[1] * factor if cell.is_sharp else min(columns, picture.shape[1])
        size = max(1, round(columns * picture.shape[0] / picture.shape[1])), columns
        key = id(picture), size, dim
        if key not in self._ready:
            cut = picture.repeat(_PARTS * factor, axis=0).repeat(_PARTS * factor, axis=1) if cell.is_sharp else picture
            how = Image.Resampling.BOX if cell.is_sharp else Image.Resampling.LANCZOS
            resized = np.asarray(Image.fromarray(cut).resize(size[::-1], how))
            self._ready[key] = np.repeat(dim_grey(resized)[..., None], 3, axis=-1) if dim else resized
        return self._ready[key]

    def _map(self, values: Map, range: Range, width: float) -> UInt8[np.ndarray, "rows columns 4"]:
        """The map with its own opacity; patches are whole pixels where they are not smoothed."""
        dpi = min(self.page.dpi, _MAP_DPI) if self.vector else self.page.dpi
        columns = max(values.shape[1], round(width * dpi))
        rows = max(1, round(columns * values.shape[0] / values.shape[1]))
        if self.vector and not self.grid.look.smooth:
            factor = -(-columns // values.shape[1])
            rows, columns = values.shape[0] * factor, values.shape[1] * factor
        rgba = coloured(values, range, self.grid.look, (rows, columns))
        if self.grid.bare:
            rgba = rgba.copy()
            rgba[..., 3] = 1.0
        return np.concatenate([rgba[..., :3], 255 * rgba[..., 3:]], axis=-1).round().astype(np.uint8)


def _within(aspect: float, left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
    """The largest rectangle of this height per width in the middle of another."""
    if abs(height / width - aspect) < 0.01 * aspect:  # rounded pixels
        return left, top, width, height
    inner = min(width, height / aspect), min(height, width * aspect)
    return left + (width - inner[0]) / 2, top + (height - inner[1]) / 2, *inner


def draw_bar(axes: Axes, grid: Grid, bar: Bar, page: Page, top: float, index: int) -> None:
    """The colours as they are drawn: over the grey of a dim photograph."""
    share = (page.width - 0.04) / len(grid.bars)
    height = 0.55 * page.line
    width = min(0.36 * share, 26 * page.line)
    left = 0.02 + share * (index + 0.5) - width / 2
    top += 0.25 * page.line
    ramp = np.linspace(bar.range.low, bar.range.high, 256, dtype=np.float32)[None]
    place(axes, _over_grey(ramp, bar.range, grid), left, top, width, height)
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor="0.4", linewidth=0.05 * page.font_size))
    style = {"va": "center", "size": 0.875 * page.font_size}
    write(axes, left - 0.4 * page.line, top + height / 2, bar.ends[0], ha="right", **style)
    write(axes, left + width + 0.4 * page.line, top + height / 2, bar.ends[1], ha="left", **style)
    middle = (left + width / 2, top + height + 0.75 * page.line)
    axes.text(*middle, bar.label, ha="center", va="center", size=0.875 * page.font_size)


def _over_grey(ramp: Float[np.ndarray, "1 256"], range: Range, grid: Grid) -> UInt8[np.ndarray, "1 256 3"]:
    rgba = coloured(ramp, range, Look(grid.look.colour_map, grid.look.opacity, smooth=False), (1, 256))
    alpha = np.ones_like(rgba[..., 3:]) if grid.bare else rgba[..., 3:]
    colours: UInt8[np.ndarray, "1 256 3"] = (rgba[..., :3] * alpha + 255 * 0.36 * (1 - alpha)).round().astype(np.uint8)
    return colours
