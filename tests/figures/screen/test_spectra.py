"""Spectra on screen: complex numbers stay complex, and only real ones lie on the curve."""

import math
from fractions import Fraction

import numpy as np
import pytest

from explorer.figures.records import Points
from explorer.figures.screen import spectra
from explorer.figures.style import PALETTES
from explorer.measures import spectrum
from tests.helpers import make_trace, quadratics, stochastic

PALETTE = PALETTES["light"]
EIGENVALUES = np.array([1.0, 0.5, 0.25, 0.3 + 0.4j, 0.3 - 0.4j, -0.2])
ON_CURVE = np.array([True, True, True, False, False, False])


def points(name: str = "one", eigenvalues: np.ndarray = EIGENVALUES) -> Points:
    z = eigenvalues.astype(np.complex128)
    on_curve, vanishing = (z.imag == 0) & (z.real > 0), z == 0
    return Points(name, PALETTE.baseline, "circle", z, 2 * z - z**2, on_curve, vanishing)


def trace(figure, name: str):
    (found,) = [one for one in figure.data if one.name == name]
    return found


def test_the_example_is_what_it_says() -> None:
    np.testing.assert_array_equal(points().on_curve, ON_CURVE)


def test_points_are_those_of_the_spectra() -> None:
    """Of the heads asked for, image by image; counted are those that the map sends out of the disc."""
    attention = stochastic(1, 3, 6, 6)
    found = [
        spectrum.spectrum(make_trace(one, quadratics(1.0)), 0) for one in (attention, stochastic(1, 3, 6, 6, seed=1))
    ]
    picked = Points.of("one", "red", "circle", found, [0, 2])
    expected = np.concatenate([one.eigenvalues[[0, 2]].flatten().numpy() for one in found])
    np.testing.assert_array_equal(picked.eigenvalues, expected)
    np.testing.assert_allclose(picked.mapped, 2 * expected - expected**2)
    for name in ("on_curve", "vanishing"):
        of_heads = np.concatenate([getattr(one, name)()[[0, 2]].flatten().numpy() for one in found])
        np.testing.assert_array_equal(getattr(picked, name), of_heads)
    every = Points.of("one", "red", "circle", found)
    assert len(every.eigenvalues) == 2 * 3 * 6
    assert every.outside == sum(one.leaving_unit_disc() for one in found)


def test_names_are_escaped_for_the_screen() -> None:
    hostile = points("<b>x</b>")
    for figure in (
        spectra.complex_plane([hostile], PALETTE, mapped=False).checked(),
        spectra.overlay([hostile], PALETTE).checked(),
        spectra.sorted_moduli([hostile], PALETTE).checked(),
    ):
        said = "".join(f"{one.name}{one.hovertemplate}" for one in figure.data)
        assert "&lt;b&gt;x" in said
        assert "<b>" not in said


# --- complex plane ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapped", [False, True])
def test_the_complex_plane_has_both_parts(mapped: bool) -> None:
    one = trace(spectra.complex_plane([points()], PALETTE, mapped=mapped).checked(), "one")
    expected = 2 * EIGENVALUES - EIGENVALUES**2 if mapped else EIGENVALUES
    np.testing.assert_allclose(np.asarray(one.x) + 1j * np.asarray(one.y), expected, rtol=0, atol=1e-15)


def test_the_unit_circle_has_radius_one_on_equal_axes() -> None:
    figure = spectra.complex_plane([points()], PALETTE, mapped=False).checked()
    circle = trace(figure, "unit circle")
    np.testing.assert_allclose(np.hypot(circle.x, circle.y), 1.0)
    assert figure.layout.yaxis.scaleanchor == "x"


# --- overlay on the curve -----------------------------------------------------------------------------------------


def test_real_eigenvalues_are_on_the_curve() -> None:
    on = trace(spectra.overlay([points()], PALETTE).checked(), "one: real, > 0")
    x = np.array([1.0, 0.5, 0.25])
    np.testing.assert_array_equal(on.x, x)
    np.testing.assert_allclose(on.y, 2 * x - x**2, atol=1e-15)


def test_the_others_are_rings_coloured_by_their_angle() -> None:
    off = trace(spectra.overlay([points()], PALETTE).checked(), "one: complex or negative")
    others = EIGENVALUES[~ON_CURVE]
    np.testing.assert_allclose(off.x, [0.5, 0.5, 0.2])
    np.testing.assert_allclose(off.y, np.abs(2 * others - others**2))
    np.testing.assert_allclose(off.marker.color, [math.atan2(0.4, 0.3)] * 2 + [math.pi])
    assert off.marker.symbol.endswith("-open")
    assert (off.marker.cmin, off.marker.cmax) == (0, math.pi)


def test_no_eigenvalue_is_hidden() -> None:
    figure = spectra.overlay([points()], PALETTE).checked()
    shown = [one for one in figure.data if one.mode == "markers"]
    assert sum(len(one.x) for one in shown) == len(EIGENVALUES)


def test_what_is_zero_up_to_noise_is_neither_real_nor_complex() -> None:
    figure = spectra.overlay([points(eigenvalues=np.array([1.0, 0.3 + 0.4j, 0.0, 0.0]))], PALETTE).checked()
    assert [len(trace(figure, f"one: {kind}").x) for kind in ("real, > 0", "complex or negative", "0 up to noise")] == [
        1,
        1,
        2,
    ]


def test_the_curve_is_drawn_as_far_as_the_largest_modulus() -> None:
    figure = spectra.overlay([points(eigenvalues=np.array([1.0, 1.5j]))], PALETTE).checked()
    curve = trace(figure, "2λ − λ²")
    x = np.asarray(curve.x)
    assert (x.min(), x.max()) == (0.0, 1.5)
    np.testing.assert_allclose(curve.y, 2 * x - x**2)


def test_nothing_beyond_one_is_cut_off() -> None:
    """Real attention gives `|2λ − λ²|` up to 1.7: the axes are left to the data."""
    figure = spectra.overlay([points(eigenvalues=np.array([1.0, -0.5 + 0.5j]))], PALETTE).checked()
    assert figure.layout.yaxis.range is None
    assert figure.layout.xaxis.range is None


def test_one_angle_scale_serves_both_models() -> None:
    figure = spectra.overlay([points("one"), points("two")], PALETTE).checked()
    assert [one.marker.showscale for one in figure.data if "complex" in (one.name or "")] == [True, False]


# --- sorted moduli ------------------------------------------------------------------------------------------------


def test_moduli_are_sorted_largest_first() -> None:
    figure = spectra.sorted_moduli([points()], PALETTE).checked()
    before, after = trace(figure, "one |λ|"), trace(figure, "one |2λ − λ²|")
    np.testing.assert_allclose(before.y, [1.0, 0.5, 0.5, 0.5, 0.25, 0.2])
    np.testing.assert_allclose(after.y, sorted(np.abs(2 * EIGENVALUES - EIGENVALUES**2), reverse=True))
    np.testing.assert_array_equal(before.x, [1, 2, 3, 4, 5, 6])


# --- eigencapacity ------------------------------------------------------------------------------------------------


def test_eigencapacity_is_propositions_closed_forms() -> None:
    figure = spectra.eigencapacity(PALETTE, 12).checked()
    standard, twicing = figure.data
    n = range(1, 13)
    assert list(standard.x) == list(twicing.x) == list(n)
    np.testing.assert_allclose(standard.y, [1 / (i + 1) for i in n])
    closed = [float(Fraction(4**i * math.factorial(i) ** 2, math.factorial(2 * i + 1))) for i in n]
    np.testing.assert_allclose(twicing.y, closed, rtol=1e-12)


def test_theory_is_dashed() -> None:
    assert {line.line.dash for line in spectra.eigencapacity(PALETTE, 3).checked().data} == {"dash"}
