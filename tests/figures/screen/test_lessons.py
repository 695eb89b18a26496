"""Figures of the one-dimensional lessons: the numbers that came, untouched, each in its colour."""

import numpy as np
import pytest

from explorer.figures.screen import lessons
from explorer.figures.style import PALETTES
from explorer.lessons import regression, risk
from explorer.lessons.kernels import KERNELS
from explorer.lessons.regression import TRUTHS
from explorer.paper import theory

PALETTE = PALETTES["light"]
OBSERVED = regression.observe(TRUTHS["waves"], 40, 0.3)
SMOOTHER = regression.smoother(40, KERNELS["box"], 0.1)
STEPS = regression.steps(SMOOTHER, OBSERVED.values)
BANDWIDTHS = risk.bandwidths(0.02, 0.2, 4)
EXACT = risk.exact_sweep(TRUTHS["waves"], 40, 0.3, KERNELS["Gaussian"], BANDWIDTHS)


def named(figure, name: str):
    (found,) = [one for one in figure.data if one.name == name]
    return found


def names(figure) -> list[str]:
    return [one.name for one in figure.data]


def test_the_curve_has_its_values_and_estimates() -> None:
    figure = lessons.curve(OBSERVED, STEPS, PALETTE).checked()
    for name, values, colour in (
        ("smoothed, AV", STEPS.smoothed, PALETTE.baseline),
        ("twiced, AV + A(V − AV)", STEPS.twiced, PALETTE.twicing),
        ("sin(4πx)", OBSERVED.curve, PALETTE.theory),
    ):
        line = named(figure, name)
        np.testing.assert_array_equal(line.y, values)
        np.testing.assert_array_equal(line.x, OBSERVED.x)
        assert line.line.color == colour
    np.testing.assert_array_equal(named(figure, "noisy values V").y, OBSERVED.values)
    assert named(figure, "sin(4πx)").line.dash == "dash"


@pytest.mark.parametrize(
    ("upto", "drawn"),
    [
        (lessons.SliderStep.SMOOTH, (False, False, False)),
        (lessons.SliderStep.RESIDUAL, (True, False, False)),
        (lessons.SliderStep.SMOOTH_RESIDUAL, (True, True, False)),
        (lessons.SliderStep.ADD, (True, True, True)),
    ],
)
def test_steps_come_one_at_a_time(upto: lessons.SliderStep, drawn: tuple[bool, ...]) -> None:
    below = names(lessons.residuals(OBSERVED, STEPS, PALETTE, upto=upto).checked())
    above = names(lessons.curve(OBSERVED, STEPS, PALETTE, upto=upto).checked())
    found = ("residual V − AV" in below, "smoothed residual A(V − AV)" in below, "twiced, AV + A(V − AV)" in above)
    assert found == drawn
    assert upto in list(lessons.SliderStep)


def test_residuals_are_those_of_the_steps() -> None:
    figure = lessons.residuals(OBSERVED, STEPS, PALETTE).checked()
    np.testing.assert_array_equal(named(figure, "residual V − AV").y, STEPS.residual)
    np.testing.assert_array_equal(named(figure, "smoothed residual A(V − AV)").y, STEPS.smoothed_residual)


def test_folds_show_the_one_asked_for_beside_the_first() -> None:
    estimates = regression.folds(SMOOTHER, OBSERVED.values, 5)
    figure = lessons.folds(OBSERVED, estimates, 4, PALETTE).checked()
    np.testing.assert_array_equal(named(figure, "once").y, estimates[0])
    np.testing.assert_array_equal(named(figure, "4-fold twicing").y, estimates[3])
    assert "1-fold twicing" not in names(lessons.folds(OBSERVED, estimates, 1, PALETTE).checked())


def test_the_risk_of_folds_is_drawn_on_log_axes() -> None:
    folds = (1, 2, 8)
    one = risk.fold_risk(regression.smoother(40, KERNELS["Gaussian"], 0.1), TRUTHS["waves"], 0.3, folds)
    figure = lessons.fold_risk(folds, one, PALETTE, fold=2).checked()
    np.testing.assert_array_equal(named(figure, "MSE").y, one.mse)
    np.testing.assert_array_equal(named(figure, "variance").y, one.variance)
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.ticktext == ("1", "2", "5")
    assert [shape.x0 for shape in figure.layout.shapes] == [2]


def test_risk_has_three_parts_of_both_kernels_over_the_exact_ones() -> None:
    figure = lessons.risk(EXACT, EXACT, PALETTE).checked()
    for name, one, colour in (("K", EXACT.standard, PALETTE.baseline), ("2K − K∗K", EXACT.twicing, PALETTE.twicing)):
        for part, values in (("MSE", one.mse), ("bias²", one.bias_squared), ("variance", one.variance)):
            line = named(figure, f"{name}: {part}")
            np.testing.assert_array_equal(line.y, values)
            assert line.line.color == colour
        best = named(figure, f"{name}: least error")
        assert (best.x[0], best.y[0]) == (BANDWIDTHS[one.best], one.mse.min())
    assert names(figure).count("exact") == 6
    assert [line.showlegend for line in figure.data if line.name == "exact"].count(True) == 1
    assert "exact" not in names(lessons.risk(EXACT, None, PALETTE).checked())


def test_the_bias_order_says_its_exponents() -> None:
    order = risk.bias_order(TRUTHS["waves"], KERNELS["triangular"], points=600)
    figure = lessons.bias_order(order, PALETTE).checked()
    assert order.standard_law is not None
    line = named(figure, f"K: h<sup>{order.standard_law.exponent:.2f}</sup>")
    np.testing.assert_array_equal(line.y, order.standard)
    assert [one.line.dash for one in figure.data] == ["solid", "solid", "dash", "dash"]


def test_a_bias_of_zero_is_not_drawn_on_a_log_axis() -> None:
    order = risk.bias_order(TRUTHS["parabola"], KERNELS["triangular"], points=600)
    assert len(lessons.bias_order(order, PALETTE).checked().data) == 2


def test_kernels_are_drawn_with_their_convolution() -> None:
    kernel = KERNELS["Epanechnikov"]
    figure = lessons.kernels(kernel, PALETTE).checked()
    twicing = named(figure, "2K − K∗K")
    np.testing.assert_array_equal(twicing.y, kernel.twicing(np.asarray(twicing.x)))
    assert min(twicing.y) < 0
    assert (named(figure, "K").line.color, twicing.line.color) == PALETTE.models


def test_powers_are_the_papers_figure() -> None:
    figure = lessons.powers((1, 2, 6, 12), PALETTE).checked()
    assert len(figure.data) == 8
    line = named(figure, "(2λ − λ²)<sup>6</sup>")
    np.testing.assert_array_equal(line.y, theory.twicing_power(np.asarray(line.x), 6))
    assert line.line.color == PALETTE.twicing
    np.testing.assert_array_equal(named(figure, "λ<sup>12</sup>").y, theory.standard_power(np.asarray(line.x), 12))
    assert len(lessons.powers((3,), PALETTE, a=1.5).checked().data) == 3


def test_eigencapacities_by_quadrature_lie_on_the_exact_lines() -> None:
    figure = lessons.eigencapacity(300, PALETTE, n=12).checked()
    for name, exact in (
        ("1 / (n + 1)", theory.eigencapacity_standard),
        ("4ⁿ (n!)² / (2n + 1)!", theory.eigencapacity_twicing),
    ):
        for one in (named(figure, name), named(figure, f"{name}, quadrature")):
            np.testing.assert_allclose(one.y, [exact(int(n)) for n in one.x], rtol=1e-9)
            assert (one.x[0], one.x[-1]) == (1, 300)
    rate = named(figure, "√π / (2√n)")
    np.testing.assert_allclose(rate.y, np.sqrt(np.pi) / (2 * np.sqrt(np.asarray(rate.x))))
    assert rate.line.dash == "dash"


@pytest.mark.parametrize(("a", "marked"), [(0.5, False), (2.0, False), (2.5, True)])
def test_the_family_marks_a_maximum_above_one(a: float, marked: bool) -> None:
    figure = lessons.family(a, PALETTE).checked()
    line = named(figure, f"a = {a:g}")
    np.testing.assert_array_equal(line.y, theory.family(np.asarray(line.x), a))
    assert ("maximum" in names(figure)) == marked


def test_a_swapped_operator_is_dashed_and_says_so() -> None:
    figure = lessons.dial([0, 1, 2], [0.1, 0.5, 0.3], PALETTE, x="a", y="margin", here=1.5, trained=0.6).checked()
    swapped = named(figure, "operator swapped, not trained")
    assert (swapped.line.dash, list(swapped.y)) == ("dash", [0.1, 0.5, 0.3])
    assert list(named(figure, "trained with twicing").y) == [0.6, 0.6]
    assert [shape.x0 for shape in figure.layout.shapes] == [1.5]
