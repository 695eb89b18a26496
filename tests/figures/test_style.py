"""Ranges, lookup tables and colours: the one visual language of every figure."""

import numpy as np
import plotly.colors
import pytest

from explorer.figures import style
from explorer.figures.screen.chart import chart
from explorer.figures.settings import ColourMap
from explorer.figures.style import PALETTES, Range

SCALES = (*ColourMap, "diverging")


def rgb(colour: str) -> tuple[int, ...]:
    """`#RRGGBB` or `rgb(r,g,b)` as three numbers."""
    if colour.startswith("#"):
        return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return tuple(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


def luminance(colour: tuple[int, ...] | np.ndarray) -> float:
    """Relative luminance (WCAG 2)."""
    share = np.asarray(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


# --- ranges -------------------------------------------------------------------------------------------------------


def test_unsigned_data_starts_at_zero() -> None:
    assert Range.of(np.array([0.25, 0.5]), signed=False) == Range(0.0, 0.5)


def test_signed_data_is_centred_at_zero() -> None:
    assert Range.of(np.array([-0.75, 0.5]), signed=True) == Range(-0.75, 0.75)


def test_a_shared_range_covers_every_array() -> None:
    assert Range.of(np.array([0.25]), np.array([0.75, 0.5]), signed=False) == Range(0.0, 0.75)


def test_data_of_zeros_has_a_range_of_some_width() -> None:
    for signed in (False, True):
        zeros = Range.of(np.zeros(3), signed=signed)
        assert zeros.high > zeros.low
        assert np.isfinite(zeros.unit(np.zeros(3))).all()


def test_a_range_is_signed_when_it_reaches_below_zero() -> None:
    assert Range(-1.0, 1.0).signed
    assert not Range(0.0, 1.0).signed


def test_unit_is_linear_between_the_ends() -> None:
    np.testing.assert_allclose(Range(-2.0, 2.0).unit(np.array([-2.0, -1.0, 0.0, 2.0])), [0, 0.25, 0.5, 1])


def test_unit_clips_what_lies_outside() -> None:
    np.testing.assert_array_equal(Range(0.0, 1.0).unit(np.array([-3.0, 4.0])), [0, 1])


# --- colour maps --------------------------------------------------------------------------------------------------


def test_the_colour_scales_are_plotlys() -> None:
    scales = {name: getattr(plotly.colors.sequential, name.title()) for name in ColourMap}
    scales["diverging"] = plotly.colors.diverging.RdBu_r[1:-1]
    assert {*scales} == {*SCALES}
    for name, stops in scales.items():
        assert [rgb(stop) for stop in style.colour_scale(name)] == [rgb(stop) for stop in stops]


@pytest.mark.parametrize("name", SCALES)
def test_a_lookup_table_ends_where_the_colour_scale_ends(name: str) -> None:
    table, stops = style.lookup_table(name), style.colour_scale(name)
    assert (tuple(table[0]), tuple(table[-1])) == (rgb(stops[0]), rgb(stops[-1]))


@pytest.mark.parametrize("name", SCALES)
def test_a_lookup_table_is_the_colour_bar_between_the_ends(name: str) -> None:
    table = style.lookup_table(name)
    for place in (13, 64, 128, 200):
        bar = plotly.colors.sample_colorscale(style.colour_scale(name), place / 255, colortype="tuple")[0]
        expected = np.array(bar) * (255 if max(bar) <= 1 else 1)
        assert np.abs(table[place] - expected).max() <= 1


@pytest.mark.parametrize("name", ColourMap)
def test_sequential_maps_get_lighter_without_turning_back(name: str) -> None:
    light = [luminance(colour) for colour in style.lookup_table(name)]
    assert light[-1] > light[0] + 0.5
    assert np.diff(light).min() > -0.002


def test_the_middle_of_the_diverging_map_is_nearly_white() -> None:
    assert style.lookup_table("diverging")[127:129].min() >= 240


def test_negative_is_blue_and_positive_is_red() -> None:
    table = style.lookup_table("diverging").astype(int)
    assert table[0, 2] > table[0, 0] + 50
    assert table[-1, 0] > table[-1, 2] + 50


@pytest.mark.parametrize("chosen", ColourMap)
def test_signed_data_is_diverging_whatever_was_chosen(chosen: ColourMap) -> None:
    assert style.scale_name(chosen, Range(-1.0, 1.0)) == "diverging"
    assert style.scale_name(chosen, Range(0.0, 1.0)) == chosen


# --- palettes and charts ------------------------------------------------------------------------------------------


def test_the_light_theme_has_okabe_and_itos_pair() -> None:
    assert PALETTES["light"].models == ("#0072B2", "#D55E00")


@pytest.mark.parametrize(("theme", "ground"), [("light", "#FFFFFF"), ("dark", "#0E1117")])
def test_lines_stand_out_from_the_ground(theme: style.Theme, ground: str) -> None:
    """Contrast of 3 to 1 for graphics, 4.5 to 1 for text (WCAG 2.1, 1.4.11 and 1.4.3)."""
    palette = PALETTES[theme]

    def contrast(colour: str) -> float:
        low, high = sorted((luminance(rgb(colour)), luminance(rgb(ground))))
        return (high + 0.05) / (low + 0.05)

    assert min(contrast(colour) for colour in (*palette.models, palette.theory)) >= 3
    assert contrast(palette.text) >= 4.5


def test_alpha_is_put_on_a_colour() -> None:
    assert style.with_alpha("#0072B2", 0.5) == "rgba(0,114,178,0.5)"


def test_a_chart_names_its_axes_and_is_empty() -> None:
    figure = chart(PALETTES["light"], height=300, x="Layer", y="Similarity").checked()
    assert len(figure.data) == 0
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("Layer", "Similarity")
    assert figure.layout.height == 300
