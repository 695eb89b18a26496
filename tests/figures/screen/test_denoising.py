"""Figures of nonlocal means: pixels, diverging residuals, a matrix as a picture."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from explorer.figures.screen import denoising
from explorer.figures.style import PALETTES, Range, lookup_table
from explorer.lessons.quality import Quality
from explorer.types import ExplorerError

PALETTE = PALETTES["light"]


def test_intensities_are_clipped_to_pixels() -> None:
    picture = np.array([[[-0.2], [0.5], [1.3]]], dtype=np.float32)
    np.testing.assert_array_equal(denoising.as_picture(picture), [[[0] * 3, [128] * 3, [255] * 3]])


def test_a_residual_of_zero_is_the_middle_of_the_diverging_map() -> None:
    residual = np.zeros((2, 3, 3))
    residual[0, 0] = -0.3
    residual[1, 2] = 0.1
    shared = denoising.residual_range(residual, residual / 2)
    assert (shared.low, shared.high) == pytest.approx((-0.3, 0.3))
    pixels = denoising.residual(residual, shared)
    table = lookup_table("diverging")
    np.testing.assert_array_equal(pixels[0, 0], table[0])
    np.testing.assert_array_equal(pixels[0, 1], table[128])
    assert pixels[1, 2, 0] > pixels[1, 2, 2]  # red is positive


@pytest.mark.parametrize("signed", [False, True])
def test_the_matrix_is_one_dot_an_entry(signed: bool) -> None:
    matrix = np.random.default_rng(0).random((20, 20)) - (0.5 if signed else 0.0)
    span = Range.of(matrix, signed=signed)
    figure = denoising.weight_matrix(matrix, span, PALETTE).checked()
    (image,) = figure.layout.images
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(image.source.partition(",")[2]))).convert("RGB"))
    table = lookup_table("diverging" if signed else "cividis")
    np.testing.assert_array_equal(pixels, table[(span.unit(matrix) * 255).round().astype(int)])
    marker = figure.data[0].marker
    assert (marker.cmin, marker.cmax) == (span.low, span.high)
    assert figure.layout.yaxis.range == (19.5, -0.5)


def test_small_weights_are_told_apart_on_a_log_scale() -> None:
    matrix = np.array([[1.0, 0.01], [1e-9, 0.1]])
    figure = denoising.weight_matrix(matrix, Range(1e-4, 1.0), PALETTE, log=True).checked()
    (image,) = figure.layout.images
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(image.source.partition(",")[2]))).convert("RGB"))
    places = np.array([[255, 128], [0, 191]])
    np.testing.assert_array_equal(pixels, lookup_table("cividis")[places])
    assert list(figure.data[0].marker.colorbar.tickvals) == [-4, -3, -2, -1, 0]
    with pytest.raises(ExplorerError, match="above 0"):
        denoising.weight_matrix(matrix, Range(0.0, 1.0), PALETTE, log=True).checked()


def test_the_spectrum_shows_what_both_filters_leave() -> None:
    eigenvalues = np.array([1.0, 0.5, 0.1, 0.0])
    figure = denoising.spectrum(eigenvalues, (1, 6), PALETTE).checked()
    by_name = {line.name: line for line in figure.data}
    assert set(by_name) == {"λ<sup>1</sup>", "(2λ − λ²)<sup>1</sup>", "λ<sup>6</sup>", "(2λ − λ²)<sup>6</sup>"}
    np.testing.assert_allclose(by_name["λ<sup>6</sup>"].y, eigenvalues**6)
    np.testing.assert_allclose(by_name["(2λ − λ²)<sup>6</sup>"].y, (2 * eigenvalues - eigenvalues**2) ** 6)
    assert by_name["λ<sup>1</sup>"].line.color == PALETTE.baseline
    assert by_name["(2λ − λ²)<sup>6</sup>"].line.color == PALETTE.twicing


def test_a_frame_lies_outside_its_box() -> None:
    pixels = np.full((10, 12, 3), 100, dtype=np.uint8)
    framed = denoising.outlined(pixels, (3, 4, 6, 8))
    np.testing.assert_array_equal(framed[3:6, 4:8], pixels[3:6, 4:8])
    assert (framed[2, 3:9] == 255).all()
    assert (framed[1, 2:10] == 0).all()
    assert (framed[0] == 100).all()
    assert denoising.outlined(pixels, (0, 0, 10, 12)).shape == pixels.shape


def test_panels_lie_side_by_side_and_in_rows() -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    figure = denoising.panels([[pixels, pixels, pixels], [pixels]], PALETTE).checked()
    places = [(image.x, image.y, image.sizey) for image in figure.layout.images]
    assert places == [(0, 0, 0.5), (1.04, 0, 0.5), (2.08, 0, 0.5), (0, 0.54, 0.5)]
    assert figure.layout.xaxis.range == pytest.approx((0, 3.08))
    assert figure.layout.yaxis.range == pytest.approx((1.04, 0))


def test_likeness_has_a_dot_for_every_head_and_rings_the_chosen_ones() -> None:
    values = np.array([[0.5, -0.5], [0.1, 0.9]])
    figure = denoising.likeness([("one", values), ("<b>", -values)], 0.7, PALETTE, chosen=[(0, 1), (1, 0)]).checked()
    first, ring, second, other = figure.data
    np.testing.assert_array_equal(first.y, [0.5, -0.5, 0.1, 0.9])
    np.testing.assert_array_equal(first.customdata, [[1, 1], [1, 2], [2, 1], [2, 2]])
    assert (second.name, second.marker.color) == ("&lt;b&gt;", PALETTE.twicing)
    assert (list(ring.y), list(other.y)) == ([-0.5], [-0.1])


@pytest.mark.parametrize("measure", ["psnr", "ssim"])
def test_quality_is_drawn_by_number_of_applications(measure: str) -> None:
    standard = {2: Quality(20.0, 0.5), 1: Quality(25.0, 0.7)}
    twicing = {1: Quality(24.0, 0.6), 2: Quality(26.0, 0.8)}
    figure = denoising.quality_by_times(standard, twicing, Quality(18.0, 0.3), PALETTE, measure=measure).checked()
    assert list(figure.data[0].x) == [1, 2]
    assert list(figure.data[0].y) == [getattr(standard[n], measure) for n in (1, 2)]
    assert list(figure.data[1].y) == [getattr(twicing[n], measure) for n in (1, 2)]
    assert figure.layout.shapes[0].y0 == (18.0 if measure == "psnr" else 0.3)
