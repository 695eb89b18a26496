"""Curves against a strength or a budget for print, with their bands: panels beside each other."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from explorer.figures.print.charts import LegendKey, lettered
from explorer.figures.print.page import check_room, plot_area, settings, sheet
from explorer.figures.records import Trial
from explorer.figures.settings import Page

_ASPECT = 0.8
"""Height per width of a panel that may choose."""
_STYLES = {"solid": "-", "dash": "--", "dot": ":"}
"""What matplotlib calls plotly's dashes."""


@dataclass(frozen=True, eq=False)
class TrialPanel:
    """Curves on axes of their own, which begin at 0."""

    lines: tuple[Trial, ...]
    y: str
    title: str = ""
    is_share: bool = False
    """Values are shares, written in percent."""


@dataclass(frozen=True, eq=False)
class Trials:
    """Panels of the same curves; `is_shared` gives them the same axes, named once."""

    panels: tuple[TrialPanel, ...]
    x: str
    is_shared: bool = False
    letters: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the legend."""
        return tuple(line.name for line in self.panels[0].lines)


def draw_trials(chart: Trials, page: Page) -> Figure:
    """The panels, the legend above them."""
    with settings(page):
        line, count = page.line, len(chart.panels)
        key = LegendKey(chart.names, page.width, page)
        top = 0.4 * line + key.height + (1.5 * line if chart.letters or any(p.title for p in chart.panels) else 0.0)
        inner = (page.width - 5.2 * line - _gap(chart, page) * (count - 1)) / count
        height = min(inner * _ASPECT, page.height - top - 3.2 * line)
        figure = sheet(page, height + top + 3.2 * line)
        handles = panels(figure, chart, page, top, height)
        figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 1.0), **key.options)
        return figure


def panels(figure: Figure, chart: Trials, page: Page, top: float, height: float) -> list[Line2D]:
    """Draws the panels across the page, frames of this height in inches, and returns the curves for a legend."""
    line, count, gap = page.line, len(chart.panels), _gap(chart, page)
    inner = (page.width - 5.2 * line - gap * (count - 1)) / count
    check_room(inner, height)
    drawn = []
    for index, panel in enumerate(chart.panels):
        axes = plot_area(figure, 4.6 * line + index * (inner + gap), top, inner, height)
        drawn.append(_panel(axes, panel))
        axes.set_xlabel(chart.x)
        if panel.title or chart.letters:
            axes.set_title(lettered(panel.title, index, chart.letters))
        if chart.is_shared and index:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
    frames = figure.axes[-count:]
    if chart.is_shared:
        upper = max(axes.get_ylim()[1] for axes in frames)
        ends = [axes.get_xlim() for axes in frames]
        for axes in frames:
            axes.set(xlim=(min(left for left, _ in ends), max(right for _, right in ends)), ylim=(0, upper))
    return drawn[0]


def _gap(chart: Trials, page: Page) -> float:
    """Inches between panels: those with a scale of their own name it."""
    return (1.4 if chart.is_shared else 4.8) * page.line


def _panel(axes: Axes, panel: TrialPanel) -> list[Line2D]:
    drawn: list[Line2D] = []
    for line in panel.lines:
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=line.colour, alpha=0.18, linewidth=0)
        drawn += axes.plot(line.x, line.y, _STYLES[line.dash], marker="o", color=line.colour, zorder=3)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(panel.y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
    if panel.is_share:
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g}%")
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="0.9", linewidth=0.6 * axes.spines["left"].get_linewidth())
    return drawn
