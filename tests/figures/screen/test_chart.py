"""Every kind of chart is one that plotly knows, and is sent as plotly itself would send it."""

import dataclasses
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import plotly.io
import pytest

from explorer.figures import screen
from explorer.figures.records import Line, Trial
from explorer.figures.screen import chart, curves, denoising, lessons, maps, sliding, spectra, trials
from explorer.figures.screen.chart import Chart
from explorer.figures.settings import ColourMap
from explorer.figures.style import PALETTES, Range, Theme
from explorer.lessons import risk
from explorer.lessons.quality import Quality
from tests.figures.screen import test_lessons as lesson
from tests.figures.screen import test_spectra as spectrum

PALETTE = PALETTES[Theme.DARK]
RANDOM = np.random.default_rng(0)
VALUES = RANDOM.random(12)
WITH_GAPS = np.where(VALUES > 0.5, np.nan, VALUES)
MATRIX = RANDOM.random((20, 20))
PICTURE = RANDOM.integers(0, 255, (20, 30, 3), dtype=np.uint8)
QUALITIES = {1: Quality(20.0, 0.4), 2: Quality(22.0, 0.5)}
POINTS = [spectrum.points("one"), spectrum.points("<b>", np.array([1.0, 0.3 + 0.4j, 0.0, 0.0]))]
TRIAL = Trial("one", VALUES, VALUES**2, PALETTE.baseline)
CORRELATIONS = np.where(MATRIX[:3, :4] > 0.9, np.nan, MATRIX[:3, :4] - 0.5)
LINES = [
    Line("<b>", VALUES, PALETTE.baseline, VALUES / 9),
    Line("faint", WITH_GAPS, PALETTE.twicing, dash="dash", faint=True),
]

EXAMPLES: dict[Callable[..., Chart], list[Chart]] = {
    chart.chart: [chart.chart(PALETTE, height=300, x="x", y="y")],
    curves.by_layer: [
        curves.by_layer(LINES, PALETTE, y="y", first_layer=0, layer=3, y_range=(-0.1, 1.02)),
        curves.by_layer([Line("long", RANDOM.random(40), PALETTE.baseline)], PALETTE, y="y", first_layer=1),
    ],
    denoising.panels: [denoising.panels([[PICTURE, PICTURE], [PICTURE]], PALETTE)],
    denoising.weight_matrix: [
        denoising.weight_matrix(MATRIX, Range(0.0, 1.0), PALETTE),
        denoising.weight_matrix(MATRIX, Range(1e-4, 1.0), PALETTE, log=True, colour_map=ColourMap.VIRIDIS),
        denoising.weight_matrix(MATRIX - 0.5, Range(-1.0, 1.0), PALETTE),
    ],
    denoising.spectrum: [denoising.spectrum(np.linspace(1, 0.1, 300), (1, 6), PALETTE)],
    denoising.likeness: [
        denoising.likeness([("one", MATRIX), ("<b>", -MATRIX)], 0.7, PALETTE, chosen=[(0, 1), (1, 0)])
    ],
    denoising.quality_by_times: [
        denoising.quality_by_times(QUALITIES, QUALITIES, Quality(18.0, 0.3), PALETTE, measure=measure)
        for measure in ("psnr", "ssim")
    ],
    lessons.curve: [lessons.curve(lesson.OBSERVED, lesson.STEPS, PALETTE, upto=step) for step in lessons.SliderStep],
    lessons.residuals: [lessons.residuals(lesson.OBSERVED, lesson.STEPS, PALETTE)],
    lessons.folds: [lessons.folds(lesson.OBSERVED, np.stack([lesson.STEPS.smoothed] * 4), 4, PALETTE)],
    lessons.fold_risk: [
        lessons.fold_risk((1, 2, 4), risk.Risk(VALUES[:3], VALUES[3:6]), PALETTE, fold=2)
    ],
    lessons.risk: [lessons.risk(lesson.EXACT, exact, PALETTE) for exact in (lesson.EXACT, None)],
    lessons.bias_order: [
        lessons.bias_order(risk.bias_order(lesson.TRUTHS["waves"], lesson.KERNELS["triangular"], points=600), PALETTE)
    ],
    lessons.kernels: [lessons.kernels(kernel, PALETTE) for kernel in lesson.KERNELS.values()],
    lessons.powers: [lessons.powers((1, 2, 6, 12), PALETTE, a=1.5)],
    lessons.eigencapacity: [lessons.eigencapacity(300, PALETTE, n=12)],
    lessons.family: [lessons.family(a, PALETTE) for a in (0.5, 1.5, 2.5)],
    lessons.dial: [lessons.dial([0, 1, 2], [0.1, 0.5, 0.3], PALETTE, x="a", y="margin", here=1.5, trained=0.6)],
    maps.interactive: [
        maps.interactive(PICTURE, list("abcdef"), (2, 3), PALETTE),
        maps.interactive(PICTURE, ["no map yet"], (1, 1), PALETTE, height=300),
    ],
    maps.colour_bar: [
        maps.colour_bar(Range(low, 0.25), colour_map, PALETTE, "weight")
        for low in (-0.25, 0.0)
        for colour_map in ColourMap
    ],
    spectra.complex_plane: [spectra.complex_plane(POINTS, PALETTE, mapped=mapped) for mapped in (False, True)],
    spectra.overlay: [spectra.overlay(POINTS, PALETTE)],
    spectra.sorted_moduli: [spectra.sorted_moduli(POINTS, PALETTE)],
    spectra.ranked: [spectra.ranked(LINES, PALETTE, y="y")],
    spectra.eigencapacity: [spectra.eigencapacity(PALETTE, steps) for steps in (12, 200)],
    trials.against: [
        trials.against([TRIAL], PALETTE, x="x", y="y", markers=False),
        trials.against(
            [dataclasses.replace(TRIAL, low=VALUES, high=VALUES * 3, faint=True)],
            PALETTE,
            x="x",
            y="y",
            percent=True,
            y_range=(0, 1),
        ),
    ],
    trials.answers: [
        trials.answers(
            [trials.Answer("long" * 8, 0.1, 0.2), trials.Answer("<b>", 0.3, 0.4)], "#0072B2", PALETTE, after="noisy"
        )
    ],
    trials.correlations: [trials.correlations(list("abcd"), CORRELATIONS, ["<b>", "y", "z"], PALETTE, 300)],
}  # fmt: skip
CASES = [
    pytest.param(example, id=f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}-{index}")
    for kind, examples in EXAMPLES.items()
    for index, example in enumerate(examples)
]


def sent(figure: dict) -> dict:
    """What the browser gets, as Streamlit writes it."""
    return json.loads(plotly.io.to_json(figure, validate=False))


def test_every_kind_of_chart_has_an_example() -> None:
    kinds = {
        kind
        for module in pkgutil.iter_modules(screen.__path__, f"{screen.__name__}.")
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isfunction)
        if kind.__module__ == module.name and kind.__annotations__.get("return") in ("Chart", Chart)
    }
    drawn_by_all = {sliding.draw}
    names = {f"{kind.__module__}.{kind.__name__}" for kind in kinds - drawn_by_all if not kind.__name__.startswith("_")}
    assert names == {f"{kind.__module__}.{kind.__name__}" for kind in EXAMPLES}


@pytest.mark.parametrize("example", CASES)
def test_a_chart_is_sent_as_plotlys_own_figure_of_it(example: Chart) -> None:
    """Which plotly checks while it is built: an unknown property or value raises `ValueError`."""
    assert sent(example.to_dict()) == sent(example.checked().to_dict())


def test_lines_across_lie_where_plotly_puts_them() -> None:
    """With and without words."""
    own, plotlys = Chart(), go.Figure()
    line, words = {"color": "red", "dash": "dot"}, {"text": "noisy", "font": {"color": "green"}}
    for figure in (own, plotlys):
        figure.add_scatter(x=VALUES, y=VALUES)
        figure.add_vline(x=2, line=line)
        figure.add_hline(y=3, line=line)
        figure.add_hline(y=4, line=line, annotation=words)
    assert sent(own.to_dict()) == sent(plotlys.to_dict())


@pytest.mark.parametrize(
    "values",
    [
        np.array([0, 127]),
        np.array([-128, 0]),
        np.array([0, 128]),
        np.array([-32768, 32767]),
        np.array([40_000, -40_000]),
        np.array([2**31 - 1, -(2**31)]),
        np.array([0.1, np.nan, np.inf]),
        np.array([0.5], np.float32),
        np.array([3], np.uint8),
        np.arange(6).reshape(2, 3),
        np.array([]),
        np.array(["a", "b"]),
        np.array([True, False]),
        np.arange(8)[::2],
    ],
)  # fmt: skip
def test_arrays_are_sent_as_plotly_sends_them(values: np.ndarray) -> None:
    own, plotlys = Chart(), go.Figure()
    for figure in (own, plotlys):
        figure.add_scatter(x=values, customdata=values)
    assert sent(own.to_dict()) == sent(plotlys.to_dict())


def test_a_property_that_plotly_does_not_know_is_noticed() -> None:
    unknown = Chart([{"type": "scatter", "lines": {"width": 2}}])
    with pytest.raises(ValueError, match="lines"):
        unknown.checked()


def test_what_is_none_is_left_to_plotly_and_parts_are_kept() -> None:
    figure = chart.chart(PALETTE, height=300, x="x", y="y")
    figure.update_layout(margin={"r": 24}, title=None)
    figure.update_xaxes(dtick=None, title={"standoff": 2})
    layout = figure.to_dict()["layout"]
    assert layout["margin"] == {"l": 8, "r": 24, "t": 12, "b": 8}
    assert layout["xaxis"]["title"] == {"text": "x", "standoff": 2}
    assert "title" not in layout
    assert "dtick" not in layout["xaxis"]


def test_a_chart_is_sent_as_often_as_is_asked_for() -> None:
    """Nothing that one sending changes is seen by the next, nor by another chart of the same parts."""
    first = curves.by_layer(LINES, PALETTE, y="y", first_layer=0)
    once = sent(first.to_dict())
    plotly.io.to_json(first.to_dict(), validate=False)
    first.update_layout(font={"size": 30})
    second = curves.by_layer(LINES, PALETTE, y="y", first_layer=0)
    assert sent(second.to_dict()) == once
    assert first.to_dict()["layout"]["font"]["size"] == 30
