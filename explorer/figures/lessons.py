"""Charts of the lessons in one dimension: curves smoothed and twiced, risk against bandwidth, filters iterated.

Smoothed once is blue and twiced vermillion, as the models are elsewhere; theory is grey and dashed. Each chart is
described here once, for one moment or for all positions of its sliders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.figures.sliding import Amount, AxisScale, Mark, Role, Rule, Series, Slider, SlidingChart
from explorer.paper import theory
from explorer.settings import Option

UNIT = np.linspace(0, 1, 201)


class SliderStep(Option):
    """How far twicing has come."""

    SMOOTH = "smooth"
    RESIDUAL = "residual"
    SMOOTH_RESIDUAL = "smooth the residual"
    ADD = "add"


@dataclass(frozen=True, eq=False)
class CurveAmounts:
    """A curve, its noisy values, and what smoothing them and their residual gives."""

    x: Amount
    curve: Amount
    values: Amount
    smoothed: Amount
    correction: Amount
    """`A (V - A V)`."""

    @property
    def twiced(self) -> Amount:
        return self.smoothed + self.correction

    @property
    def residual(self) -> Amount:
        return self.values - self.smoothed


def curve(parts: CurveAmounts, formula: str, ends: Amount, upto: SliderStep = SliderStep.ADD) -> SlidingChart:
    """The noisy values, the curve behind them, and the estimates reached by a step of twicing."""
    series = [*_behind(parts, formula), _line("smoothed, AV", parts.x, parts.smoothed, Role.BASELINE)]
    if upto is SliderStep.ADD:
        series.append(_line("twiced, AV + A(V − AV)", parts.x, parts.twiced, Role.TWICING))
    alt = "Noisy values and what smoothing makes"
    return SlidingChart("lesson1-curves", alt, _of_x(), AxisScale("value", ends), series)


def residuals(parts: CurveAmounts, ends: Amount, upto: SliderStep = SliderStep.ADD) -> SlidingChart:
    """What smoothing took away, and what smoothing it once more finds in it.

    The dashed line is what both are after: the curve minus its smoothed values.
    """
    series = []
    if upto is not SliderStep.SMOOTH:
        series.append(Series("residual V − AV", parts.x, parts.residual, Role.TEXT, Mark.FAINT))
        series.append(_theory("what AV misses of the curve", parts.x, parts.curve - parts.smoothed))
    if upto in (SliderStep.SMOOTH_RESIDUAL, SliderStep.ADD):
        series.append(_line("smoothed residual A(V − AV)", parts.x, parts.correction, Role.TWICING))
    return SlidingChart("lesson1-residuals", "Residuals", _of_x(), AxisScale("residual", ends), series)


def folds(parts: CurveAmounts, folded: Amount | None, fold: str, formula: str, ends: Amount) -> SlidingChart:
    """k-fold twicing over the noisy values, with smoothing once beside it; `fold` is k in words."""
    series = [*_behind(parts, formula), _line("once", parts.x, parts.smoothed, Role.BASELINE)]
    if folded is not None:
        series.append(_line(f"{fold}-fold twicing", parts.x, folded, Role.TWICING))
    return SlidingChart("lesson1-folds", "k-fold twicing", _of_x(), AxisScale("value", ends), series)


def fold_risk(
    numbers: Sequence[int], quantities: RiskAmounts, at: Slider | float | None = None, ends: Amount | None = None
) -> SlidingChart:
    """Bias², variance and their sum against the number of folds: bias falls, variance rises."""
    x = Amount.of(np.array(numbers, dtype=float))
    series = [Series(name, x, values, Role.TWICING, Mark.BOTH, dash) for values, name, dash in quantities.named]
    rules = [] if at is None else [Rule("x", at)]
    across = AxisScale("k, folds", Amount.of([min(numbers), max(numbers)]), log=True)
    upwards = AxisScale("mean over points", ends or _log_ends([values for values, _, _ in quantities.named]), log=True)
    return SlidingChart("lesson1-fold-risk", "Risk by folds", across, upwards, series, rules)


@dataclass(frozen=True, eq=False)
class RiskAmounts:
    """Mean squared error and its two parts."""

    mse: Amount
    bias_squared: Amount
    variance: Amount

    @property
    def named(self) -> tuple[tuple[Amount, str, str], ...]:
        """Quantity, name and dash: the sum is the solid line."""
        return (self.mse, "MSE", "solid"), (self.bias_squared, "bias²", "dashdot"), (self.variance, "variance", "dot")


def risk(
    bandwidths: Any,
    kernels: Sequence[tuple[RiskAmounts, Amount, Amount]],
    exact: Sequence[RiskAmounts] = (),
    ends: Amount | None = None,
) -> SlidingChart:
    """Bias², variance and mean squared error of K and 2K - K * K against the bandwidth, on log axes.

    Each kernel comes with the place and the size of its least error. `exact` is drawn grey and dashed under what Monte
    Carlo has so far.
    """
    x = Amount.of(bandwidths)
    parts = [values for quantities in exact for values, _, _ in quantities.named]
    series = [_theory("exact", x, values, in_legend=index == 0) for index, values in enumerate(parts)]
    names = (("K", Role.BASELINE), ("2K − K∗K", Role.TWICING))
    for (quantities, place, least), (name, role) in zip(kernels, names, strict=True):
        series += [_line(f"{name}: {part}", x, values, role, dash) for values, part, dash in quantities.named]
        series.append(Series(f"{name}: least error", place, least, role, Mark.RINGS, in_legend=False))
    drawn = [values for quantities, _, _ in kernels for values, _, _ in quantities.named]
    across = AxisScale("bandwidth h", Amount.of([min(bandwidths), max(bandwidths)]), log=True)
    upwards = AxisScale("mean over points", ends or _log_ends([*drawn, *parts]), log=True)
    return SlidingChart("lesson1-risk", "Bias, variance and MSE", across, upwards, series, height=400)


# --- eigenvalues --------------------------------------------------------------------------------------------------


def powers(times: Sequence[tuple[str, Amount, Amount]]) -> SlidingChart:
    """`λ^n` and `(2λ - λ²)^n` on [0, 1] for every n (paper Fig. 3), each with n in words."""
    x, series = Amount.of(UNIT), []
    for (n, standard, twicing), dash in zip(times, ("solid", "dash", "dashdot", "dot"), strict=False):
        series.append(_line(f"λ<sup>{n}</sup>", x, standard, Role.BASELINE, dash))
        series.append(_line(f"(2λ − λ²)<sup>{n}</sup>", x, twicing, Role.TWICING, dash))
    upwards = AxisScale("what is left of it", Amount.of([-0.02, 1.04]))
    return SlidingChart("lesson3-powers", "Filters iterated", _of_lambda(), upwards, series)


def eigencapacity(steps: int, at: Slider | float | None = None) -> SlidingChart:
    """`κ_n` on log axes: exact as lines, by quadrature as marks, the rates `1/n` and `√π / (2√n)` dashed (Prop. 1)."""
    every = np.unique(np.geomspace(1, steps, 60).round().astype(int))
    some = np.unique(np.geomspace(1, steps, 12).round().astype(int))
    series: list[Series] = []
    for a, exact, name, rate, role, symbol in (
        (1.0, theory.eigencapacity_standard, "1 / (n + 1)", "1/n", Role.BASELINE, "circle"),
        (2.0, theory.eigencapacity_twicing, "4ⁿ (n!)² / (2n + 1)!", "√π / (2√n)", Role.TWICING, "diamond"),
    ):
        x = Amount.of(every)
        series.append(_line(name, x, Amount.of([exact(int(n)) for n in every]), role))
        series.append(_theory(rate, x, Amount.of([theory.eigencapacity_rate(a, int(n)) for n in every])))
        marks = Amount.of([theory.eigencapacity(a, int(n)) for n in some])
        series.append(
            Series(f"{name}, quadrature", Amount.of(some), marks, role, Mark.RINGS, symbol=symbol, in_legend=False)
        )
    rules = [] if at is None else [Rule("x", at)]
    across = AxisScale("n, times the filter is applied", Amount.of([1, steps]), log=True)
    upwards = AxisScale("eigencapacity κₙ", _log_ends([each.y for each in series]), log=True)
    return SlidingChart("lesson3-capacity", "Eigencapacity on log axes", across, upwards, series, rules)


def family(member: Amount, name: str, maximum: tuple[Amount, Amount] | None) -> SlidingChart:
    """`p_a(λ) = aλ + (1 - a)λ²` between the two that bound `1 ≤ a ≤ 2`, shaded; a maximum over 1 is marked."""
    x = Amount.of(UNIT)
    lower, upper = (theory.family(UNIT, a) for a in (1.0, 2.0))
    around = Amount.of(np.concatenate([UNIT, UNIT[::-1]]))
    series = [
        Series("1 ≤ a ≤ 2", around, Amount.of(np.concatenate([lower, upper[::-1]])), Role.THEORY, Mark.AREA),
        _line("λ, a = 1", x, Amount.of(lower), Role.BASELINE, width=1.8),
        _line("2λ − λ², a = 2", x, Amount.of(upper), Role.TWICING, width=1.8),
        _line(f"a = {name}", x, member, Role.TEXT),
    ]
    if maximum is not None:
        series.append(Series("maximum", *maximum, Role.TEXT, Mark.RINGS, in_legend=False))
    upwards = AxisScale("p<sub>a</sub>(λ)", Amount.of([-0.05, 1.2]))
    return SlidingChart("lesson3-family", "The filter with a", _of_lambda(), upwards, series, [Rule("y", 1.0)])


# --- parts --------------------------------------------------------------------------------------------------------


def _behind(parts: CurveAmounts, formula: str) -> list[Series]:
    """The noisy values and the curve they come from."""
    noisy = Series("noisy values V", parts.x, parts.values, Role.TEXT, Mark.FAINT)
    return [noisy, _theory(formula, parts.x, parts.curve)]


def _line(
    name: str, x: Amount, y: Amount, role: Role, dash: str = "solid", *, width: float = 2.5, in_legend: bool = True
) -> Series:
    return Series(name, x, y, role, Mark.LINE, dash, width, in_legend=in_legend)


def _theory(name: str, x: Amount, y: Amount, *, in_legend: bool = True) -> Series:
    return _line(name, x, y, Role.THEORY, "dash", width=1.5, in_legend=in_legend)


def _of_x() -> AxisScale:
    return AxisScale("x", Amount.of([0.0, 1.0]))


def _of_lambda() -> AxisScale:
    return AxisScale("eigenvalue λ", Amount.of([0.0, 1.0]))


def log_ends(*arrays: np.ndarray) -> list[float]:
    """The ends of a logarithmic axis with room for all that is above 0."""
    values = np.concatenate([np.ravel(array) for array in arrays])
    values = values[values > 0] if (values > 0).any() else np.ones(1)
    return [float(values.min()) / 1.15, float(values.max()) * 1.15]


def _log_ends(amounts: Sequence[Amount]) -> Amount:
    return Amount.of(log_ends(*(term.stack.values for amount in amounts for term in amount.terms)))
