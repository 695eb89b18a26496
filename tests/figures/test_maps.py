"""Maps on pixels: every colour is the value's, and nothing is rescaled on the way."""

import base64
import io

import numpy as np
import plotly.colors
import pytest
from PIL import Image

from explorer.figures import maps, style
from explorer.figures.screen import maps as screen_maps
from explorer.figures.settings import ColourMap, Look
from explorer.figures.style import PALETTES, Range

PALETTE = PALETTES["light"]
SCALE = {name: style.colour_scale(name) for name in (*ColourMap, "diverging")}
LOOKS = [Look(smooth=smooth, colour_map=name) for smooth in (False, True) for name in ColourMap]


@pytest.fixture
def photograph() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)


@pytest.fixture
def values() -> np.ndarray:
    """Four rows and five columns, all between 0 and 1."""
    return np.random.default_rng(1).random((4, 5))


def dim(photograph: np.ndarray) -> np.ndarray:
    """The photograph under an empty map: four fifths grey, at 72% of its light (Rec. 601 luma)."""
    grey = photograph.astype(np.float64) @ [0.299, 0.587, 0.114]
    return 0.72 * (0.8 * grey[..., None] + 0.2 * photograph)


def looked_up(values: np.ndarray, low: float, high: float, name: str) -> np.ndarray:
    """The colour bar's colour at each value, from the bar's own stops."""
    share = (values - low) / (high - low)
    stops = np.array([plotly.colors.unlabel_rgb(c) if "rgb" in c else plotly.colors.hex_to_rgb(c) for c in SCALE[name]])
    places = np.round(share * 255) / 255
    channels = [np.interp(places, np.linspace(0, 1, len(stops)), stops[:, i]) for i in range(3)]
    return np.round(np.stack(channels, axis=-1))


# --- overlays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", LOOKS)
def test_zero_leaves_the_dim_photograph(photograph: np.ndarray, look: Look) -> None:
    shown = maps.draw(photograph, np.zeros((4, 5)), Range(0.0, 1.0), look)
    assert np.abs(shown - dim(photograph)).max() <= 0.51


@pytest.mark.parametrize("smooth", [False, True])
def test_zero_of_signed_data_leaves_the_dim_photograph(photograph: np.ndarray, smooth: bool) -> None:
    shown = maps.draw(photograph, np.zeros((4, 5)), Range(-1.0, 1.0), Look(smooth=smooth))
    assert np.abs(shown - dim(photograph)).max() <= 0.51


def test_no_opacity_leaves_the_dim_photograph(photograph: np.ndarray, values: np.ndarray) -> None:
    shown = maps.draw(photograph, values, Range(0.0, 1.0), Look(opacity=0.0))
    assert np.abs(shown - dim(photograph)).max() <= 0.51


@pytest.mark.parametrize("value", [0.2, 0.5, 1.0])
def test_equal_values_have_equal_colours(value: float) -> None:
    """Over a photograph of one colour, wherever they are."""
    flat = np.full((40, 40, 3), 90, np.uint8)
    shown = maps.draw(flat, np.full((4, 5), value), Range(0.0, 1.0), Look())
    assert (shown == shown[0, 0]).all()


def test_the_largest_value_covers_the_photograph_at_full_opacity(photograph: np.ndarray) -> None:
    shown = maps.draw(photograph, np.ones((4, 5)), Range(0.0, 1.0), Look(opacity=1.0))
    assert (shown == looked_up(np.ones(1), 0, 1, "cividis")[0]).all()


@pytest.mark.parametrize(("value", "place"), [(1.0, 1.0), (-1.0, -1.0)])
def test_both_ends_of_signed_data_cover_the_photograph(photograph: np.ndarray, value: float, place: float) -> None:
    shown = maps.draw(photograph, np.full((4, 5), value), Range(-1.0, 1.0), Look(opacity=1.0))
    assert (shown == looked_up(np.array([place]), -1, 1, "diverging")[0]).all()


def test_an_overlay_lies_on_the_grid_of_the_patches(photograph: np.ndarray) -> None:
    """One patch has weight: only its pixels differ from the dim photograph."""
    values = np.zeros((4, 5))
    values[1, 3] = 1.0
    shown = maps.draw(photograph, values, Range(0.0, 1.0), Look(smooth=False, opacity=1.0))
    changed = np.abs(shown - dim(photograph)).max(axis=-1) > 0.51
    assert changed[10:20, 24:32].mean() > 0.9
    changed[10:20, 24:32] = False
    assert not changed.any()


def test_more_weight_hides_more_of_the_photograph(photograph: np.ndarray) -> None:
    left = [
        maps.draw(photograph, np.full((4, 5), value), Range(0.0, 1.0), Look()).astype(int).std(axis=(0, 1)).sum()
        for value in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert left == sorted(left, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (14, 14)])
def test_an_overlay_has_the_size_of_the_photograph(photograph: np.ndarray, shape: tuple[int, int]) -> None:
    shown = maps.draw(photograph[:30], np.ones(shape), Range(0.0, 1.0), Look())
    assert (shown.shape, shown.dtype) == ((30, 40, 3), np.uint8)


# --- the figure with a marker on every patch ----------------------------------------------------------------------


@pytest.fixture
def texts() -> list[str]:
    return [f"text {i}" for i in range(6)]


def test_one_marker_per_patch_in_row_order(photograph: np.ndarray, texts: list[str]) -> None:
    (markers,) = screen_maps.interactive(photograph, texts, (2, 3), PALETTE).checked().data
    assert list(zip(markers.y, markers.x, strict=True)) == [(y, x) for y in range(2) for x in range(3)]


def test_each_marker_has_its_hover_text(photograph: np.ndarray, texts: list[str]) -> None:
    (markers,) = screen_maps.interactive(photograph, texts, (2, 3), PALETTE).checked().data
    assert list(markers.text) == texts
    assert markers.hovertemplate.startswith("%{text}")


def test_the_picture_fills_the_grid(photograph: np.ndarray, texts: list[str]) -> None:
    figure = screen_maps.interactive(photograph, texts, (2, 3), PALETTE).checked()
    (image,) = figure.layout.images
    assert (image.x, image.y, image.sizex, image.sizey, image.sizing) == (-0.5, -0.5, 3, 2, "stretch")
    assert (figure.layout.xaxis.range, figure.layout.yaxis.range) == ((-0.5, 2.5), (1.5, -0.5))
    sent = Image.open(io.BytesIO(base64.b64decode(image.source.partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(sent), photograph)


def test_the_colour_bar_has_the_ranges_numbers_and_the_maps_colours() -> None:
    figure = screen_maps.colour_bar(Range(-0.25, 0.25), ColourMap.CIVIDIS, PALETTE, "weight").checked()
    assert list(figure.layout.xaxis.tickvals) == [-0.25, 0, 0.25]
    assert list(figure.layout.xaxis.ticktext) == ["−0.25", "0", "0.25"]
    stops = [style.colour_scale("diverging")[i] for i in (0, -1)]
    assert [figure.data[0].colorscale[i][1] for i in (0, -1)] == stops


# --- numbers and files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (0.012345, "0.0123"),
        (-0.5, "−0.5"),
        (1234.5, "1.23e+03"),
        (0.00001234, "1.23e−05"),
    ],
)
def test_numbers_have_three_digits_and_a_real_minus(value: float, text: str) -> None:
    assert maps.number(value) == text


def test_a_png_is_lossless(photograph: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(maps.png(photograph)))), photograph)


def test_a_data_uri_holds_the_png(photograph: np.ndarray) -> None:
    head, body = maps.data_uri(photograph).split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == maps.png(photograph)
