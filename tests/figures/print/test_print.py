"""Sheets, text and grids for print, without models: exact sizes, nothing outside the page, text that fits."""

import io
import threading

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from explorer.figures.maps import coloured, dim_grey, draw
from explorer.figures.print import charts, grids, page, text, trials
from explorer.figures.print.cells import Block, Cell, Columns, Grid, GridRow, Region
from explorer.figures.print.charts import Curves, Dynamics, Spectra
from explorer.figures.print.trials import TrialPanel, Trials
from explorer.figures.records import Line, Points, Trial
from explorer.figures.settings import Look, Page
from explorer.figures.style import Range
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence

PAGE = Page(width=4.0, height=6.0, dpi=50)
RNG = np.random.default_rng(0)
LONG = "A model whose name goes on and on (operator swapped)"


def photograph(rows: int = 30, columns: int = 40) -> np.ndarray:
    return RNG.integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def grid(
    blocks: int = 1, rows: int = 1, columns: int = 2, shape: tuple[int, int] = (30, 40), **options: object
) -> Grid:
    picture = photograph(*shape)
    cells = tuple(Cell(picture, RNG.random((3, 4))) for _ in range(columns))
    block = Block(Cell(picture), tuple(GridRow(cells, "row") for _ in range(rows)), "block")
    names = tuple(f"column {n}" for n in range(columns))
    return Grid((block,) * blocks, (Columns(names, "Heading"),), Look(), lead_heading="Image", **options)  # type: ignore[arg-type]


def curves(name: str = "A", first: int = 0) -> Curves:
    values = np.linspace(0, 1, 4)
    return Curves(
        (Line(name, values, "#0072B2", values / 9), Line(name, values**2, "#D55E00", None, "dash")), "y", first
    )


def spectra(panels: int, name: str = "A") -> Spectra:
    values = np.array([1.0, 0.5, 0.2 + 0.1j, -0.5])
    points = Points(name, "#0072B2", "circle", values + 0j, 2 * values - values**2 + 0j, values.imag == 0, values == 0)
    return Spectra(tuple((f"Layer {n}", (points, points)) for n in range(panels)))


def panels(count: int, name: str = "A", **options: bool) -> Trials:
    x = np.array([0.0, 2.0, 4.0])
    lines = (Trial(name, x, x / 5, "#0072B2", x / 6, x / 4), Trial(name, x, x / 7, "#D55E00", dash="dash"))
    return Trials(tuple(TrialPanel(lines, "y", f"panel {n}", is_share=True) for n in range(count)), "x", **options)


def noted() -> Grid:
    """Without a picture in front, with words beneath every cell."""
    cells = tuple(Cell(photograph(8, 8), note=f"{LONG} (93%)", is_sharp=True) for _ in range(3))
    return Grid((Block(None, (GridRow(cells, "row"), GridRow(cells, "row"))),) * 2, (Columns(("a", "b", "c")),), Look())


FIGURES = {
    "grid": lambda p: grids.draw(grid(2, 2, 3), p, vector=False),
    "grid and chart": lambda p: grids.draw(grid(1, 1, 2), p, vector=True, below=curves(LONG)),
    "curves": lambda p: charts.draw_curves(curves(LONG), p),
    "dynamics": lambda p: charts.draw_dynamics(Dynamics((1, 2), ((LONG, "red", np.array([0.1, 1.1])),)), p),
    "trials": lambda p: trials.draw_trials(panels(2, LONG), p),
    "grid and trials": lambda p: grids.draw(grid(1, 2, 2), p, vector=False, below=panels(2, LONG)),
    "notes": lambda p: grids.draw(noted(), p, vector=True),
    "spectra": lambda p: charts.draw_spectra(spectra(2, LONG), p),
}


def outside(figure: Figure) -> list[str]:
    """What reaches beyond the sheet by more than a point."""
    with page.settings(PAGE):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        box = figure.bbox.padded(figure.dpi / 72)
        boxes = {str(one): one.get_tightbbox(renderer) for one in (*figure.axes, *figure.legends)}
        return [
            f"{name}: {one}"
            for name, one in boxes.items()
            if one is None or one.x0 < box.x0 or one.x1 > box.x1 or one.y0 < box.y0 or one.y1 > box.y1
        ]


# --- the page -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("font", ["serif", "sans"])
@pytest.mark.parametrize("size", [(3.25, 4.0), (4.0, 3.5), (12.3, 6.6)])
@pytest.mark.parametrize("kind", FIGURES)
def test_figures_are_as_wide_as_the_page_and_no_higher(kind: str, size: tuple[float, float], font: str) -> None:
    one = Page(*size, dpi=50, font=font, font_size=16.0 if size[0] > 10 else 7.0)
    figure = FIGURES[kind](one)
    width, height = figure.get_size_inches()
    assert width == size[0]
    assert height <= size[1] + 1e-6
    assert outside(figure) == []


@pytest.mark.parametrize("kind", FIGURES)
def test_a_page_that_is_too_small_is_one_sentence(kind: str) -> None:
    with pytest.raises(ExplorerError) as caught:
        FIGURES[kind](Page(width=1.0, height=0.8, dpi=50, font_size=12.0))
    assert_one_sentence(str(caught.value))


def test_settings_of_the_process_are_as_before() -> None:
    before = dict(mpl.rcParams)
    with page.settings(PAGE):
        assert mpl.rcParams["pdf.fonttype"] == 42
    assert dict(mpl.rcParams) == before


def test_figures_of_several_threads_do_not_disturb_each_other() -> None:
    serif, sans = Page(3.0, 3.0, 50, "serif"), Page(3.0, 3.0, 50, "sans", 12.0)
    known = {
        one.font: page.render(charts.draw_curves(curves(), one), one, page.Format.SVG, {}) for one in (serif, sans)
    }
    wrong: list[str] = []

    def work(one: Page) -> None:
        drawn = [page.render(charts.draw_curves(curves(), one), one, page.Format.SVG, {}) for _ in range(3)]
        wrong.extend(one.font for data in drawn if data != known[one.font])

    threads = [threading.Thread(target=work, args=(one,)) for one in (serif, sans)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_font_that_is_not_here_is_refused() -> None:
    page.check_font("DejaVu Sans")
    with pytest.raises(ExplorerError) as caught:
        page.check_font("No Such Font")
    assert_one_sentence(str(caught.value))


def test_a_png_has_the_dots_asked() -> None:
    with Image.open(io.BytesIO(page.render(FIGURES["curves"](PAGE), PAGE, page.Format.PNG, {"Title": "t"}))) as image:
        assert image.width == 4 * 50
        assert image.info["Title"] == "t"
        assert image.info["dpi"] == pytest.approx((50, 50), abs=0.1)
        assert "Software" not in image.info


# --- text ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["DeiT-Twicing (operator swapped)", "W" * 300, "a b " * 40, "$x$", "猫" * 20])
@pytest.mark.parametrize("width", [0.1, 0.5, 2.0])
def test_text_fits_its_place(words: str, width: float) -> None:
    with page.settings(PAGE):
        figure = page.sheet(PAGE, 1.0)
        axes = page.canvas(figure)
        text.write_fitting(axes, 2.0, 0.5, words, width, PAGE, ha="center")
        (drawn,) = axes.texts
        assert 4.0 <= drawn.get_fontsize() <= PAGE.font_size
        for line in drawn.get_text().split("\n"):
            assert text.inches(line, drawn.get_fontsize()) <= max(1.03 * width, 0.15)
        assert drawn.get_text().count("\n") <= 1


def test_a_name_that_is_cut_still_says_that_the_operator_was_swapped() -> None:
    with page.settings(PAGE):
        cut = text.fitting("A name that is far too long (operator swapped)", 1.6, 8.0)
        assert cut.startswith("A ")
        assert cut.endswith("… (operator swapped)")
        assert text.inches(cut, 8.0) <= 1.6
        assert text.fitting("Short", 1.6, 8.0) == "Short"


def test_long_text_is_quickly_cut() -> None:
    """Text is somebody else's: a million characters cost no more than a page's width of them."""
    with page.settings(PAGE):
        assert len(text.fitting("W" * 1_000_000, 1.0, 8.0)) < 20
        assert text.line_count("a " * 500_000, 1.0, PAGE) == 2


def test_control_characters_are_spaces() -> None:
    assert text.printable("a\nb\x00c\t") == "a b c"
    assert text.printable("\ud800￾") == ""
    assert text.line_count("\n", 1.0, PAGE) == 0


def test_wide_text_is_wider_and_mathematics_is_no_matter() -> None:
    with page.settings(PAGE):
        assert text.inches("WW", 8.0) > text.inches("W", 8.0) > text.inches("i", 8.0) > 0
        assert text.inches("", 8.0) == 0
        assert text.inches("$x$", 8.0) > text.inches("x", 8.0)
        assert text.inches("W", 16.0) == pytest.approx(2 * text.inches("W", 8.0))


# --- grids --------------------------------------------------------------------------------------------------------


def extents(figure: Figure) -> list[tuple[float, float, float, float]]:
    """`(left, right, bottom, top)` of every image in inches, downwards."""
    return [tuple(one.get_extent()) for one in figure.axes[0].images]


def test_panels_do_not_overlap_and_keep_their_aspect() -> None:
    figure = grids.draw(grid(2, 2, 3, bare=True), PAGE, vector=True)
    boxes = extents(figure)
    assert len(boxes) == 2 * (1 + 2 * 3)
    for index, (left, right, bottom, top) in enumerate(boxes):
        assert (bottom - top) / (right - left) == pytest.approx(30 / 40, rel=0.02)
        for other in boxes[index + 1 :]:
            assert right <= other[0] or other[1] <= left or bottom <= other[3] or other[2] <= top


def test_a_map_lies_exactly_on_its_region() -> None:
    region = Region(0.1, 0.2, 0.5, 0.6)
    picture = photograph()
    cell = Cell(picture, RNG.random((3, 4)), region=region, mark=Region(0.1, 0.2, 0.5 / 3, 0.6 / 4))
    one = Grid((Block(Cell(picture), (GridRow((cell,)),)),), (Columns(("",)),), Look())
    figure = grids.draw(one, PAGE, vector=False)
    _, below, above = extents(figure)
    width, height = below[1] - below[0], below[2] - below[3]
    expected = (below[0] + 0.2 * width, below[0] + 0.8 * width, below[3] + 0.6 * height, below[3] + 0.1 * height)
    assert above == pytest.approx(expected)
    outline = figure.axes[0].patches[0].get_bbox()
    assert (outline.x0, outline.y0) == pytest.approx((expected[0], expected[3]))
    assert outline.width == pytest.approx(0.15 * width)


def test_two_lines_of_headings_have_room() -> None:
    short, long = (
        Grid(
            grid(1, 1, 2).blocks,
            tuple(Columns((name,), name, "#0072B2") for _ in range(2)),
            Look(),
            lead_heading="Image",
        )
        for name in ("A", "A model with a name of two lines at least")
    )
    for one in (short, long):
        assert outside(grids.draw(one, Page(3.0, 6.0, 50), vector=False)) == []
    heights = [grids.draw(one, Page(3.0, 6.0, 50), vector=False).get_size_inches()[1] for one in (short, long)]
    assert heights[1] > heights[0] + PAGE.line


def test_too_many_panels_are_one_sentence() -> None:
    for one in (grid(1, 1, 60), grid(40, 4, 1)):
        with pytest.raises(ExplorerError) as caught:
            grids.draw(one, PAGE, vector=False)
        assert_one_sentence(str(caught.value))
        assert "Panels" in str(caught.value)


def test_a_printed_map_blends_to_the_map_of_the_screen() -> None:
    """Over the same base, opacity and colour give what the screen's map is."""
    picture, values, look = photograph(40, 40), RNG.random((4, 4)), Look(opacity=0.9)
    rgba = coloured(values, Range(0.0, 1.0), look, (40, 40))
    assert rgba.shape == (40, 40, 4)
    assert 0 <= rgba[..., 3].min() <= rgba[..., 3].max() <= np.float32(0.9)
    grey = np.full((40, 40, 3), 90, np.uint8)
    base = dim_grey(grey).astype(float)[..., None]
    blended = base * (1 - rgba[..., 3:]) + rgba[..., :3] * rgba[..., 3:]
    assert np.abs(blended - draw(grey, values, Range(0.0, 1.0), look)).max() <= 1.0
    assert dim_grey(picture).max() <= round(0.72 * 255)


# --- charts -------------------------------------------------------------------------------------------------------


def test_legends_name_every_line_whatever_it_is_called() -> None:
    for name in ("A", "_low", "$x$", r"\frac"):
        figure = charts.draw_curves(curves(name), PAGE)
        shown = [one.get_text().replace(r"\$", "$") for one in figure.legends[0].get_texts()]
        assert shown == [name, name]


def test_curves_start_at_their_first_layer() -> None:
    for first in (0, 1):
        axes = charts.draw_curves(curves(first=first), PAGE).axes[0]
        assert list(axes.lines[0].get_xdata()) == [first, first + 1, first + 2, first + 3]
        assert axes.lines[1].get_linestyle() == "--"


def test_panels_of_spectra_share_their_axes() -> None:
    figure = charts.draw_spectra(spectra(3), Page(6.0, 6.0, 50))
    limits = {(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes[:3]}
    assert len(limits) == 1
    assert limits.pop()[0][1] > 1
    texts = [one.get_text() for axes in figure.axes for one in axes.texts]
    assert texts == ["leave the unit disc:\n1 of 4, 1 of 4"] * 3


def test_letters_go_on_from_panel_to_panel() -> None:
    figure = charts.draw_dynamics(Dynamics((1,), letters=True), PAGE)
    assert [axes.get_title()[:3] for axes in figure.axes] == ["(a)", "(b)"]


# --- curves against a strength, pixels ----------------------------------------------------------------------------


def test_panels_that_share_their_axes_name_them_once() -> None:
    figure = trials.draw_trials(panels(3, is_shared=True, letters=True), Page(6.0, 6.0, 50))
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1
    assert [axes.get_ylabel() for axes in figure.axes] == ["y", "", ""]
    assert [axes.get_title() for axes in figure.axes] == ["(a) panel 0", "(b) panel 1", "(c) panel 2"]
    assert figure.axes[0].get_ylim()[0] == 0
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", "--"]


@pytest.mark.parametrize("vector", [False, True])
def test_sharp_pixels_stay_squares(vector: bool) -> None:
    """Each as wide as the others within a pixel of the page, in its own colour."""
    picture = photograph(5, 5)
    one = Grid((Block(None, (GridRow((Cell(picture, is_sharp=True),)),)),), (Columns(("",)),), Look())
    (image,) = grids.draw(one, PAGE, vector=vector).axes[0].images
    drawn = np.asarray(image.pixels)
    side = drawn.shape[0] / 5
    centres = (side * (np.arange(5) + 0.5)).astype(int)
    np.testing.assert_array_equal(drawn[np.ix_(centres, centres)], picture)
    exact = drawn.shape[0] * drawn.shape[1] / 25
    for colour in picture.reshape(-1, 3):
        assert abs((drawn == colour).all(axis=-1).sum() - exact) <= 4 * side + 4
