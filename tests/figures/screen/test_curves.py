"""Curves over the layers: the values that came, untouched."""

import numpy as np
import pytest

from explorer.figures.records import Line
from explorer.figures.screen import curves
from explorer.figures.style import PALETTES

PALETTE = PALETTES["light"]
VALUES = np.array([0.1, -0.4, 7.0, 0.25])
SPREAD = np.array([0.0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("first_layer", [0, 1])
def test_a_line_draws_the_values_it_is_given(first_layer: int) -> None:
    figure = curves.by_layer(
        [Line("one", VALUES, PALETTE.baseline)], PALETTE, y="value", first_layer=first_layer
    ).checked()
    (line,) = figure.data
    np.testing.assert_array_equal(line.y, VALUES)
    np.testing.assert_array_equal(line.x, np.arange(4) + first_layer)


def test_every_line_has_its_name_and_colour() -> None:
    lines = [Line("one", VALUES, PALETTE.baseline), Line("two", VALUES, PALETTE.twicing)]
    figure = curves.by_layer(lines, PALETTE, y="value", first_layer=1).checked()
    assert [(line.name, line.line.color) for line in figure.data] == [
        ("one", PALETTE.baseline),
        ("two", PALETTE.twicing),
    ]


def test_the_band_is_the_mean_plus_and_minus_the_spread() -> None:
    line = Line("one", VALUES, PALETTE.baseline, SPREAD)
    band, mean = curves.by_layer([line], PALETTE, y="value", first_layer=0).checked().data
    assert band.fill == "toself"
    np.testing.assert_array_equal(band.y[:4], VALUES + SPREAD)
    np.testing.assert_array_equal(band.y[4:][::-1], VALUES - SPREAD)
    np.testing.assert_array_equal(band.x[:4], band.x[4:][::-1])
    np.testing.assert_array_equal(mean.y, VALUES)


def test_a_counterfactual_is_dashed() -> None:
    figure = curves.by_layer(
        [Line("one", VALUES, PALETTE.baseline, dash="dash")], PALETTE, y="value", first_layer=0
    ).checked()
    assert figure.data[0].line.dash == "dash"


def test_a_faint_line_is_not_in_the_legend() -> None:
    lines = [Line("one", VALUES, PALETTE.baseline), Line("head", VALUES, PALETTE.baseline, faint=True)]
    figure = curves.by_layer(lines, PALETTE, y="value", first_layer=0).checked()
    assert [line.showlegend for line in figure.data] == [True, False]


def test_the_chosen_layer_is_marked() -> None:
    figure = curves.by_layer(
        [Line("one", VALUES, PALETTE.baseline)], PALETTE, y="value", first_layer=1, layer=3
    ).checked()
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes] == [(3, 3)]


def test_a_given_range_is_the_axis() -> None:
    line = Line("one", VALUES, PALETTE.baseline)
    figure = curves.by_layer([line], PALETTE, y="value", first_layer=0, y_range=(-0.5, 1.0)).checked()
    assert figure.layout.yaxis.range == (-0.5, 1.0)
