"""What happens to a prediction: curves against a strength, answers before and after, how alike maps are."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from explorer.figures.records import Trial
from explorer.figures.screen.chart import Chart, chart, stops
from explorer.figures.style import Palette, colour_scale, with_alpha


@dataclass(frozen=True)
class Answer:
    """Probability of a class before and after."""

    name: str
    before: float
    after: float


def against(
    lines: Sequence[Trial],
    palette: Palette,
    *,
    x: str,
    y: str,
    y_range: tuple[float, float] | None = None,
    percent: bool = False,
    markers: bool = True,
    height: int = 340,
) -> Chart:
    """Curves against a strength, a share or a budget."""
    figure = chart(palette, height=height, x=x, y=y)
    digits = ".1%" if percent else ".4g"
    for line in lines:
        if line.low is not None and line.high is not None:
            figure.add_scatter(
                x=np.concatenate([line.x, line.x[::-1]]),
                y=np.concatenate([line.high, line.low[::-1]]),
                fill="toself",
                fillcolor=with_alpha(line.colour, 0.16),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
            )
        figure.add_scatter(
            x=line.x,
            y=line.y,
            name=html.escape(line.name),
            mode="lines+markers" if markers and not line.faint else "lines",
            line={
                "color": with_alpha(line.colour, 0.5) if line.faint else line.colour,
                "width": 1.4 if line.faint else 2.5,
                "dash": line.dash,
            },
            marker={"size": 6},
            hovertemplate="%{x:.3g}: %{y:" + digits + "}<extra>" + html.escape(line.name) + "</extra>",
        )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(range=y_range, tickformat=".0%" if percent else None)
    return figure


def answers(by_class: Sequence[Answer], colour: str, palette: Palette, *, after: str, height: int = 260) -> Chart:
    """Bars of the classes' probabilities: hollow before, filled after."""
    figure = chart(palette, height=height, x="Probability", y="")
    names = [html.escape(answer.name if len(answer.name) <= 22 else answer.name[:21] + "…") for answer in by_class]
    for label, values, fill in (
        ("clean", [answer.before for answer in by_class], with_alpha(colour, 0.12)),
        (after, [answer.after for answer in by_class], colour),
    ):
        figure.add_bar(
            y=names,
            x=values,
            name=label,
            orientation="h",
            marker={"color": fill, "line": {"color": colour, "width": 1.2}},
            hovertemplate="%{y}: %{x:.1%}<extra>" + label + "</extra>",
        )
    figure.update_layout(barmode="group", bargap=0.28, bargroupgap=0.06, margin={"r": 24})
    figure.update_xaxes(range=[0, 1], tickformat=".0%", dtick=0.25)
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    return figure


def correlations(
    names: Sequence[str], values: Float[np.ndarray, "row column"], rows: Sequence[str], palette: Palette, height: int
) -> Chart:
    """Rank correlations with their numbers in the cells; missing ones stay empty."""
    texts = [["" if np.isnan(v) else f"{v:.2f}".replace("-", "−") for v in row] for row in values]
    figure = chart(palette, height=height, x="", y="")
    figure.add_heatmap(
        z=values,
        x=[html.escape(name) for name in names],
        y=[html.escape(row) for row in rows],
        zmin=-1,
        zmax=1,
        colorscale=stops(colour_scale("diverging")),
        showscale=False,
        xgap=2,
        ygap=2,
        text=texts,
        texttemplate="%{text}",
        textfont={"size": 12},
        hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
    )
    figure.update_xaxes(showgrid=False, tickangle=-35, automargin=True)
    figure.update_yaxes(showgrid=False, autorange="reversed", automargin=True)
    return figure
