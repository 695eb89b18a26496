"""Grids of maps over photographs: blocks of rows, one block for each photograph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from explorer.figures.print.cells import Block, Grid, cells_of
from explorer.figures.print.charts import Curves, LegendKey, curves
from explorer.figures.print.page import INK, canvas, check_room, plot_area, settings, sheet
from explorer.figures.print.painting import Painter, draw_bar
from explorer.figures.print.text import fitting_size, line_count, write, write_fitting
from explorer.figures.print.trials import Trials, panels
from explorer.figures.settings import POINTS, Page
from explorer.types import ExplorerError

_SMALLEST_PANEL = 0.12


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
    note: float
    """What stands beneath a row of cells takes."""
    height: float

    def x(self, grid: Grid, column: int) -> float:
        """Left edge of a column of maps; headings stand a little apart."""
        counts = np.cumsum([len(c.names) for c in grid.columns])
        return self.first + column * (self.panel + self.gap) + float((counts <= column).sum()) * 2 * self.gap


def draw(grid: Grid, page: Page, *, vector: bool, below: Curves | Trials | None = None) -> Figure:
    """The grid as wide as the page, or narrower where it would be higher than the page allows; a chart may follow it.

    `vector`: for PDF and SVG, which hold a photograph once and scale it; otherwise pixels fit the page's dpi exactly.
    Raises `ExplorerError` when panels would be smaller than an eighth of an inch.
    """
    with settings(page):
        key = LegendKey(below.names, page.width, page) if below else None
        share = 0.42 if isinstance(below, Curves) else 0.3  # one chart, or several beside each other
        chart_height = min(share * page.width + 2 * page.line, 0.35 * page.height) if below else 0.0
        if key:
            check_room(page.width - 5.2 * page.line, chart_height - 3.6 * page.line - key.height)
        layout = _layout(grid, replace(page, height=page.height - chart_height))
        figure = sheet(page, layout.height + chart_height)
        axes = canvas(figure)
        painter = Painter(axes, page, grid, vector)
        _headings(axes, grid, layout, page)
        top = layout.header
        for index, block in enumerate(grid.blocks):
            top = _block(painter, block, layout, top, chr(ord("a") + index % 26) if grid.letters else "")
        for index, bar in enumerate(grid.bars):
            draw_bar(axes, grid, bar, page, top, index)
        if below and key:
            line = page.line
            start, room = layout.height + 0.6 * line + key.height, chart_height - 3.6 * line - key.height
            handles = _beneath(figure, below, page, start, room)
            middle = (0.5, 1 - (layout.height + 0.5 * line) / (layout.height + chart_height))
            figure.legend(handles=handles, loc="upper center", bbox_to_anchor=middle, **key.options)
        return figure


def _beneath(figure: Figure, below: Curves | Trials, page: Page, top: float, height: float) -> list[Line2D]:
    """Draws what stands beneath the grid and returns its curves for a legend."""
    if isinstance(below, Trials):
        return panels(figure, below, page, top, height)
    chart = plot_area(figure, 4.6 * page.line, top, page.width - 5.2 * page.line, height)
    handles = curves(chart, below)
    chart.set_ylim(bottom=0)
    return handles


def _layout(grid: Grid, page: Page) -> _Layout:
    gap = 0.35 * page.font_size / POINTS
    count = sum(len(c.names) for c in grid.columns)
    lead = float(min(2, max(len(b.rows) for b in grid.blocks))) if any(b.lead for b in grid.blocks) else 0.0
    block_label = 2.1 * page.line if any(b.label for b in grid.blocks) else 0.0
    row_label = 2.1 * page.line if any(r.label for b in grid.blocks for r in b.rows) else 0.0
    footer = 2.6 * page.line if grid.bars else 0.02
    apart = gap * (2 * len(grid.columns) + count) + max(lead - 1, 0) * gap + 0.04
    by_width = (page.width - block_label - row_label - apart) / (lead + count)
    rows = sum(max(len(b.rows), int(lead)) for b in grid.blocks)
    share = sum(max(len(b.rows), lead) * b.aspect for b in grid.blocks)
    panel, lines, header, note = by_width, (0, 0), 0.02, 0.0
    for _ in range(3):  # headings and notes break where panels are narrow, and take height from them
        lines = _heading_lines(grid, page, max(panel, _SMALLEST_PANEL), gap)
        note = _note_height(grid, page, max(panel, _SMALLEST_PANEL))
        apart_down = rows * (gap + note) + len(grid.blocks) * gap
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
        first=left + (lead * panel + (lead + 1) * gap if lead else 0.0) + row_label,
        header=header,
        name_lines=lines[1],
        gap=gap,
        label=row_label,
        note=note,
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


def _note_height(grid: Grid, page: Page, panel: float) -> float:
    """Inches for the notes beneath cells of this width."""
    lines = max((line_count(cell.note, panel, page) for cell in cells_of(grid)), default=0)
    return (0.35 + lines) * 0.875 * page.line if lines else 0.0


def _weight(colour: str) -> str:
    return "bold" if colour != INK else "normal"


def _headings(axes: Axes, grid: Grid, layout: _Layout, page: Page) -> None:
    """Headings of column groups, and beneath them the columns' names."""
    upper = layout.header - ((0.25 + 1.1 * layout.name_lines) if layout.name_lines else 0.3) * page.line
    style = {"ha": "center", "va": "baseline"}
    lead_width = layout.lead * layout.panel + (layout.lead - 1) * layout.gap
    middle = layout.left + lead_width / 2
    if layout.lead:
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


def _block(painter: Painter, block: Block, layout: _Layout, top: float, letter: str) -> float:
    """Draws a block and returns where the next one begins."""
    axes, page = painter.axes, painter.page
    height = layout.panel * block.aspect
    step = height + layout.note + layout.gap
    lead_height = layout.lead * height + (layout.lead - 1) * layout.gap
    lead_width = layout.lead * layout.panel + (layout.lead - 1) * layout.gap
    rows = max(len(block.rows), int(layout.lead))
    bottom = top + rows * step - layout.gap
    if block.lead is not None:
        painter.cell(block.lead, layout.left, top, lead_width, lead_height)
    upright = {"rotation": 90, "ha": "center", "va": "center", "rotation_mode": "anchor"}
    if block.label:
        x = layout.left - 1.1 * page.line
        size = fitting_size([b.label for b in painter.grid.blocks], bottom - top, page)
        write_fitting(axes, x, (top + bottom) / 2, block.label, bottom - top, page, size=size, **upright)
    if letter:
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.15 * page.font_size}
        inset = 0.4 * page.line
        left = layout.left if block.lead is not None else layout.first
        write(axes, left + inset, top + 1.0 * page.line, f"({letter})", ha="left", va="baseline", bbox=box)
    for index, row in enumerate(block.rows):
        y = top + index * step
        if row.label:
            x = layout.first - layout.label / 2 - layout.gap / 2
            colour = {"color": row.colour, "weight": _weight(row.colour)}
            size = fitting_size([r.label for r in block.rows], height, page, "bold")
            write_fitting(axes, x, y + height / 2, row.label, height, page, size=size, **upright, **colour)
        for column, cell in enumerate(row.cells):
            x = layout.x(painter.grid, column)
            painter.cell(cell, x, y, layout.panel, height)
            if cell.note:
                below: dict[str, Any] = {"ha": "center", "va": "top", "size": 0.875 * page.font_size}
                middle = x + layout.panel / 2, y + height + 0.15 * page.line
                write_fitting(axes, *middle, cell.note, layout.panel, page, **below)
    return bottom + 2 * layout.gap
