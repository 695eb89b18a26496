"""Grids of maps over photographs: blocks of rows, one block for each photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from explorer.figures.maps import Look, Map, Picture, coloured, dim_grey, number
from explorer.figures.publication.charts import Curves, Key, curves
from explorer.figures.publication.page import INK, POINTS, Page, canvas, check_room, place, plot_area, settings, sheet
from explorer.figures.publication.text import fitting_size, line_count, write, write_fitting
from explorer.figures.style import Range
from explorer.types import ExplorerError, Size

_MAP_DPI = 150
_SMALLEST_PANEL = 0.12


@dataclass(frozen=True)
class Region:
    """A rectangle in shares of a picture."""

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0


WHOLE = Region()


@dataclass(frozen=True, eq=False)
class Cell:
    """A photograph, alone or under a map that covers a region of it; `mark` is outlined."""

    picture: Picture
    values: Map | None = None
    range: Range = Range(0.0, 1.0)
    region: Region = WHOLE
    mark: Region | None = None

    @property
    def aspect(self) -> float:
        """Height per width."""
        return float(self.picture.shape[0] / self.picture.shape[1])


@dataclass(frozen=True, eq=False)
class Row:
    """Cells beside each other; `label` stands upright to their left."""

    cells: tuple[Cell, ...]
    label: str = ""
    colour: str = INK


@dataclass(frozen=True, eq=False)
class Block:
    """One photograph, and the rows of maps over it."""

    lead: Cell
    rows: tuple[Row, ...]
    label: str = ""


@dataclass(frozen=True)
class Columns:
    """Neighbouring columns under one heading."""

    names: tuple[str, ...]
    heading: str = ""
    colour: str = INK


@dataclass(frozen=True)
class Bar:
    """A colour bar: what its ends say, and what it measures."""

    range: Range
    label: str
    ends: tuple[str, str]

    @classmethod
    def of(cls, range: Range, label: str) -> Bar:
        """With the range's own numbers at its ends."""
        return cls(range, label, (number(range.low), number(range.high)))


@dataclass(frozen=True, eq=False)
class Grid:
    """Everything of a grid but how large it is printed."""

    blocks: tuple[Block, ...]
    columns: tuple[Columns, ...]
    look: Look
    bars: tuple[Bar, ...] = ()
    lead_heading: str = ""
    letters: bool = False
    bare: bool = False
    """Maps without the photograph beneath."""


@dataclass(frozen=True)
class _Layout:
    """Inches: where things lie, and how wide a panel is."""

    panel: float
    lead: float
    """Rows of height that the photograph in front takes."""
    left: float
    """Where the photographs in front begin."""
    first: float
    """Where the maps begin."""
    header: float
    name_lines: int
    """Lines of the columns' names, beneath their headings."""
    gap: float
    label: float
    height: float

    def x(self, grid: Grid, column: int) -> float:
        """Left edge of a column of maps; headings stand a little apart."""
        counts = np.cumsum([len(c.names) for c in grid.columns])
        return self.first + column * (self.panel + self.gap) + float((counts <= column).sum()) * 2 * self.gap


def draw(grid: Grid, page: Page, *, vector: bool, below: Curves | None = None) -> Figure:
    """The grid as wide as the page, or narrower where it would be higher than the page allows; a chart may follow it.

    `vector`: for PDF and SVG, which hold a photograph once and scale it; otherwise pixels fit the page's dpi exactly.
    Raises `ExplorerError` when panels would be smaller than an eighth of an inch.
    """
    with settings(page):
        key = Key(tuple(one.name for one in below.lines), page.width, page) if below else None
        chart_height = min(0.42 * page.width + 2 * page.line, 0.35 * page.height) if below else 0.0
        if key:
            check_room(page.width - 5.2 * page.line, chart_height - 3.6 * page.line - key.height)
        layout = _layout(grid, replace(page, height=page.height - chart_height))
        figure = sheet(page, layout.height + chart_height)
        axes = canvas(figure)
        painter = _Painter(axes, page, grid, vector)
        _headings(axes, grid, layout, page)
        top = layout.header
        for index, block in enumerate(grid.blocks):
            top = _block(painter, block, layout, top, chr(ord("a") + index % 26) if grid.letters else "")
        for index, bar in enumerate(grid.bars):
            _bar(axes, grid, bar, layout, page, top, index)
        if below and key:
            line, width = page.line, page.width - 5.2 * page.line
            start = layout.height + 0.6 * line + key.height
            chart = plot_area(figure, 4.6 * line, start, width, chart_height - 3.6 * line - key.height)
            handles = curves(chart, below)
            chart.set_ylim(bottom=0)
            middle = (0.5, 1 - (layout.height + 0.5 * line) / (layout.height + chart_height))
            figure.legend(handles=handles, loc="upper center", bbox_to_anchor=middle, **key.options)
        return figure


def _layout(grid: Grid, page: Page) -> _Layout:
    gap = 0.35 * page.font_size / POINTS
    count = sum(len(c.names) for c in grid.columns)
    lead = float(min(2, max(len(b.rows) for b in grid.blocks)))
    block_label = 2.1 * page.line if any(b.label for b in grid.blocks) else 0.0
    row_label = 2.1 * page.line if any(r.label for b in grid.blocks for r in b.rows) else 0.0
    footer = 2.6 * page.line if grid.bars else 0.02
    apart = gap * (2 * len(grid.columns) + count) + (lead - 1) * gap + 0.04
    by_width = (page.width - block_label - row_label - apart) / (lead + count)
    rows = sum(max(len(b.rows), int(lead)) for b in grid.blocks)
    apart_down = rows * gap + len(grid.blocks) * gap
    share = sum(max(len(b.rows), lead) * b.lead.aspect for b in grid.blocks)
    panel, lines, header = by_width, (0, 0), 0.02
    for _ in range(3):  # headings break where panels are narrow, and take height from them
        lines = _heading_lines(grid, page, max(panel, _SMALLEST_PANEL), gap)
        header = (0.25 + 1.1 * sum(lines)) * page.line if any(lines) else 0.02
        panel = min(by_width, (page.height - header - footer - apart_down) / share)
    if panel < _SMALLEST_PANEL:
        raise ExplorerError(
            f"Panels of at least {_SMALLEST_PANEL} in were expected; {rows} rows and {count + 1} columns on "
            f"{page.width:g} x {page.height:g} in leave {max(panel, 0):.2f} in, so choose fewer or a larger page."
        )
    left = block_label + 0.02 + (lead + count) * (by_width - panel) / 2
    return _Layout(
        panel=panel,
        lead=lead,
        left=left,
        first=left + lead * panel + (lead - 1) * gap + 2 * gap + row_label,
        header=header,
        name_lines=lines[1],
        gap=gap,
        label=row_label,
        height=header + share * panel + apart_down + footer,
    )


def _heading_lines(grid: Grid, page: Page, panel: float, gap: float) -> tuple[int, int]:
    """Lines that the headings and the columns' names take above panels of this width."""
    headings = [
        line_count(c.heading, len(c.names) * (panel + gap) - gap, page, _weight(c.colour)) for c in grid.columns
    ]
    names = [line_count(name, panel, page) for c in grid.columns for name in c.names]
    upper, lower = max(headings, default=0), max(names, default=0)
    return upper, max(lower, 1 if grid.lead_heading and not upper else 0)


def _weight(colour: str) -> str:
    return "bold" if colour != INK else "normal"


def _headings(axes: Axes, grid: Grid, layout: _Layout, page: Page) -> None:
    """Headings of column groups, and beneath them the columns' names."""
    upper = layout.header - ((0.25 + 1.1 * layout.name_lines) if layout.name_lines else 0.3) * page.line
    style = {"ha": "center", "va": "baseline"}
    lead_width = layout.lead * layout.panel + (layout.lead - 1) * layout.gap
    middle = layout.left + lead_width / 2
    write_fitting(axes, middle, layout.header - 0.3 * page.line, grid.lead_heading, lead_width, page, **style)
    widths = [len(c.names) * (layout.panel + layout.gap) - layout.gap for c in grid.columns]
    # Neighbours are written alike.
    sizes = [fitting_size([c.heading], w, page, _weight(c.colour)) for c, w in zip(grid.columns, widths, strict=True)]
    style_of_names = {**style, "size": fitting_size([n for c in grid.columns for n in c.names], layout.panel, page)}
    column = 0
    for group in grid.columns:
        start, end = layout.x(grid, column), layout.x(grid, column + len(group.names) - 1) + layout.panel
        bold = {**style, "color": group.colour, "weight": _weight(group.colour), "size": min(sizes)}
        write_fitting(axes, (start + end) / 2, upper, group.heading, end - start, page, **bold)
        for name in group.names:
            x = layout.x(grid, column) + layout.panel / 2
            write_fitting(axes, x, layout.header - 0.3 * page.line, name, layout.panel, page, **style_of_names)
            column += 1


def _block(painter: _Painter, block: Block, layout: _Layout, top: float, letter: str) -> float:
    """Draws a block and returns where the next one begins."""
    axes, page = painter.axes, painter.page
    height = layout.panel * block.lead.aspect
    lead_height = layout.lead * height + (layout.lead - 1) * layout.gap
    lead_width = layout.lead * layout.panel + (layout.lead - 1) * layout.gap
    rows = max(len(block.rows), int(layout.lead))
    bottom = top + rows * (height + layout.gap) - layout.gap
    painter.cell(block.lead, layout.left, top, lead_width, lead_height)
    upright = {"rotation": 90, "ha": "center", "va": "center", "rotation_mode": "anchor"}
    if block.label:
        x = layout.left - 1.1 * page.line
        size = fitting_size([b.label for b in painter.grid.blocks], bottom - top, page)
        write_fitting(axes, x, (top + bottom) / 2, block.label, bottom - top, page, size=size, **upright)
    if letter:
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.15 * page.font_size}
        inset = 0.4 * page.line
        write(axes, layout.left + inset, top + 1.0 * page.line, f"({letter})", ha="left", va="baseline", bbox=box)
    for index, row in enumerate(block.rows):
        y = top + index * (height + layout.gap)
        if row.label:
            x = layout.first - layout.label / 2 - layout.gap / 2
            colour = {"color": row.colour, "weight": _weight(row.colour)}
            size = fitting_size([r.label for r in block.rows], height, page, "bold")
            write_fitting(axes, x, y + height / 2, row.label, height, page, size=size, **upright, **colour)
        for column, cell in enumerate(row.cells):
            painter.cell(cell, layout.x(painter.grid, column), y, layout.panel, height)
    return bottom + 2 * layout.gap


class _Painter:
    """Lays cells on the sheet; the same photograph is prepared once."""

    def __init__(self, axes: Axes, page: Page, grid: Grid, vector: bool) -> None:
        self.axes, self.page, self.grid, self.vector = axes, page, grid, vector
        self._ready: dict[tuple[int, Size, bool], Picture] = {}

    def cell(self, cell: Cell, left: float, top: float, width: float, height: float) -> None:
        """One panel; a picture of another shape than the place is in its middle."""
        left, top, width, height = _within(cell.aspect, left, top, width, height)
        if cell.values is None or not self.grid.bare:
            place(self.axes, self._fitted(cell.picture, width, cell.values is not None), left, top, width, height)
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

    def _fitted(self, picture: Picture, width: float, dim: bool) -> UInt8[np.ndarray, "height width 3"]:
        """A photograph of exactly the page's dpi; for PDF and SVG never more than its own pixels."""
        columns = max(1, round(width * self.page.dpi))
        if self.vector:
            columns = min(columns, picture.shape[1])
        size = max(1, round(columns * picture.shape[0] / picture.shape[1])), columns
        key = id(picture), size, dim
        if key not in self._ready:
            resized = np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.LANCZOS))
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


def _bar(axes: Axes, grid: Grid, bar: Bar, layout: _Layout, page: Page, top: float, index: int) -> None:
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
    shown: UInt8[np.ndarray, "1 256 3"] = (rgba[..., :3] * alpha + 255 * 0.36 * (1 - alpha)).round().astype(np.uint8)
    return shown


def cells_of(grid: Grid) -> Sequence[Cell]:
    """All cells under maps, as they are read: block by block and row by row."""
    return [cell for block in grid.blocks for row in block.rows for cell in row.cells]
