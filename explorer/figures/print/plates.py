"""A figure on its way to a file: what is drawn, on which page, in which format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from explorer.figures.print import charts, grids, page, trials
from explorer.figures.print.cells import Grid
from explorer.figures.print.page import Format
from explorer.figures.settings import Page

Drawing = Grid | charts.Curves | charts.Dynamics | charts.Spectra | trials.Trials


@dataclass(frozen=True, eq=False)
class Print:
    """A file with its size in inches, width first."""

    data: bytes
    size: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Plate:
    """Everything that decides the bytes of a figure's file."""

    drawing: Drawing
    below: charts.Curves | trials.Trials | None
    page: Page
    format: Format
    metadata: Mapping[str, str]

    def print(self) -> Print:
        """Draws it. Raises `ExplorerError` when there is no room on the page."""
        figure = draw(self.drawing, self.below, self.page, vector=self.format is not Format.PNG)
        width, height = map(float, figure.get_size_inches())
        return Print(page.render(figure, self.page, self.format, self.metadata), (width, height))


def draw(drawing: Drawing, below: charts.Curves | trials.Trials | None, sheet: Page, *, vector: bool) -> Figure:
    """matplotlib's figure. Raises `ExplorerError` when there is no room on the page."""
    if isinstance(drawing, Grid):
        return grids.draw(drawing, sheet, vector=vector, below=below)
    if isinstance(drawing, charts.Curves):
        return charts.draw_curves(drawing, sheet)
    if isinstance(drawing, trials.Trials):
        return trials.draw_trials(drawing, sheet)
    if isinstance(drawing, charts.Dynamics):
        return charts.draw_dynamics(drawing, sheet)
    return charts.draw_spectra(drawing, sheet)
