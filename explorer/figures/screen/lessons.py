"""Figures of the lessons in one dimension, as plotly draws them: of one moment, for paper, or without a slider."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from explorer.figures import lessons
from explorer.figures.lessons import CurveAmounts, RiskAmounts, SliderStep
from explorer.figures.screen.chart import Chart, chart
from explorer.figures.screen.sliding import draw
from explorer.figures.sliding import Amount, room
from explorer.figures.style import Palette
from explorer.lessons.kernels import Kernel
from explorer.lessons.regression import CurveValues, Observations, Steps
from explorer.lessons.risk import BandwidthSweep, BiasOrder, Risk
from explorer.paper import theory

# --- one dimension ------------------------------------------------------------------------------------------------


def curve(
    observed: Observations, steps: Steps, palette: Palette, *, upto: SliderStep = SliderStep.ADD, height: int = 380
) -> Chart:
    """The noisy values, the curve behind them, and the estimates reached by a step of twicing."""
    ends = Amount.of(room(np.concatenate([observed.values, observed.curve, steps.twiced])))
    sliding = lessons.curve(
        _parts(observed, steps.smoothed, steps.smoothed_residual), observed.truth.formula, ends, upto
    )
    return draw(sliding, palette, height=height)


def residuals(
    observed: Observations, steps: Steps, palette: Palette, *, upto: SliderStep = SliderStep.ADD, height: int = 260
) -> Chart:
    """What smoothing took away, and what smoothing it once more finds in it."""
    ends = Amount.of(room(steps.residual))
    sliding = lessons.residuals(_parts(observed, steps.smoothed, steps.smoothed_residual), ends, upto)
    return draw(sliding, palette, height=height)


def folds(
    observed: Observations,
    estimates: Float[np.ndarray, "fold point"],
    fold: int,
    palette: Palette,
    *,
    height: int = 380,
) -> Chart:
    """k-fold twicing over the noisy values, with smoothing once beside it; `fold` is k."""
    folded = Amount.of(estimates[fold - 1]) if fold > 1 else None
    ends = Amount.of(room(np.concatenate([observed.values, estimates[fold - 1]])))
    parts = _parts(observed, estimates[0], np.zeros_like(estimates[0]))
    return draw(lessons.folds(parts, folded, str(fold), observed.truth.formula, ends), palette, height=height)


def fold_risk(
    folds: Sequence[int], risk: Risk, palette: Palette, *, fold: int | None = None, height: int = 340
) -> Chart:
    """Exact bias², variance and their sum against the number of folds: bias falls, variance rises."""
    return draw(lessons.fold_risk(folds, risk_amounts(risk), fold), palette, height=height)


def risk(sweep: BandwidthSweep, exact: BandwidthSweep | None, palette: Palette, *, height: int = 400) -> Chart:
    """Bias², variance and mean squared error of both kernels against the bandwidth, on log axes.

    `exact` is drawn grey and dashed under what Monte Carlo has so far.
    """
    kernels = [
        (
            risk_amounts(of_kernel),
            Amount.of([sweep.bandwidths[of_kernel.best]]),
            Amount.of([of_kernel.mse[of_kernel.best]]),
        )
        for of_kernel in (sweep.standard, sweep.twicing)
    ]
    behind = [] if exact is None else [risk_amounts(of_kernel) for of_kernel in (exact.standard, exact.twicing)]
    return draw(lessons.risk(sweep.bandwidths, kernels, behind), palette, height=height)


def bias_order(order: BiasOrder, palette: Palette, *, height: int = 400) -> Chart:
    """Bias against bandwidth on log axes, with fitted exponents in the legend and Prop. 2's leading terms dashed."""
    figure = chart(palette, height=height, x="bandwidth h", y="bias, root mean square")
    for values, law, name, colour, symbol in (
        (order.standard, order.standard_law, "K", palette.baseline, "circle"),
        (order.twicing, order.twicing_law, "2K − K∗K", palette.twicing, "diamond"),
    ):
        if law is None:  # nothing but rounding, which has no place on a log axis
            continue
        label = f"{name}: h<sup>{law.exponent:.2f}</sup>"
        marker = {"symbol": symbol, "size": 8}
        _line(figure, order.bandwidths, values, label, colour, mode="lines+markers", marker=marker)
    # On top, because they nearly coincide.
    for leading, name in ((order.standard_theory, "h² μ₂ |f″| / 2"), (order.twicing_theory, "h⁴ μ₂² |f⁗| / 4")):
        if leading is not None and leading.min() > 0:
            _theory(figure, order.bandwidths, leading, name, palette)
    return _log(figure, order.bandwidths)


def kernels(kernel: Kernel, palette: Palette, *, height: int = 320) -> Chart:
    """K and 2K - K * K; the second is negative in places, and so are rows of `2A - A^2`."""
    figure = chart(palette, height=height, x="u", y="weight")
    reach = min(2 * kernel.support, 5.0)
    u = np.linspace(-reach, reach, 401)
    _theory(figure, u, kernel.convolved(u), "K∗K", palette)
    _line(figure, u, kernel.density(u), "K", palette.baseline)
    _line(figure, u, kernel.twicing(u), "2K − K∗K", palette.twicing)
    return figure


# --- eigenvalues --------------------------------------------------------------------------------------------------


def powers(times: Sequence[int], palette: Palette, *, a: float | None = None, height: int = 380) -> Chart:
    """`λ^n` and `(2λ - λ²)^n` on [0, 1] for every n (paper Fig. 3); with `a`, `p_a^n` too, grey."""
    unit = lessons.UNIT
    amounts = [
        (str(n), Amount.of(theory.standard_power(unit, n)), Amount.of(theory.twicing_power(unit, n))) for n in times
    ]
    figure = draw(lessons.powers(amounts), palette, height=height)
    if a is not None:
        for n in times:
            name = f"p<sub>{a:g}</sub><sup>{n}</sup>"
            _theory(figure, unit, theory.family_power(unit, a, n), name, palette)
    return figure


def eigencapacity(steps: int, palette: Palette, *, n: int | None = None, height: int = 380) -> Chart:
    """`κ_n` on log axes: exact as lines, by quadrature as marks, the rates `1/n` and `√π / (2√n)` dashed (Prop. 1)."""
    return draw(lessons.eigencapacity(steps, n), palette, height=height)


def family(a: float, palette: Palette, *, height: int = 380) -> Chart:
    """`p_a(λ) = aλ + (1 - a)λ²` between the two that bound `1 ≤ a ≤ 2`, shaded, with its maximum marked beyond 2."""
    member = theory.family_member(a)
    maximum = (Amount.of([member.maximum_at]), Amount.of([member.maximum])) if member.maximum > 1 else None
    sliding = lessons.family(Amount.of(theory.family(lessons.UNIT, a)), f"{a:g}", maximum)
    return draw(sliding, palette, height=height)


# --- the dial -----------------------------------------------------------------------------------------------------


def dial(
    places: Sequence[float],
    values: Sequence[float],
    palette: Palette,
    *,
    x: str,
    y: str,
    here: float | None = None,
    trained: float | None = None,
    height: int = 300,
) -> Chart:
    """A quantity of a model whose operator was swapped, dashed as a counterfactual, against `a` or a number of blocks.

    `trained` is the model that was trained with twicing; `here` marks where the dial stands.
    """
    figure = chart(palette, height=height, x=x, y=y)
    label = "operator swapped, not trained"
    _line(figure, list(places), list(values), label, palette.baseline, dash="dash", mode="lines+markers")
    if trained is not None:
        ends = [min(places), max(places)]
        _line(figure, ends, [trained, trained], "trained with twicing", palette.twicing)
    if here is not None:
        figure.add_vline(x=here, line={"color": palette.theory, "dash": "dot", "width": 1})
    return figure


# --- parts --------------------------------------------------------------------------------------------------------


def _line(
    figure: Chart, x: Any, y: Any, name: str, colour: str, *, dash: str = "solid", width: float = 2.5, **more: Any
) -> None:
    more = {"mode": "lines", "hovertemplate": "%{x:.4g}: %{y:.4g}<extra>" + name + "</extra>"} | more
    figure.add_scatter(x=x, y=y, name=name, line={"color": colour, "width": width, "dash": dash}, **more)


def _theory(figure: Chart, x: Any, y: Any, name: str, palette: Palette, *, dash: str = "dash", **more: Any) -> None:
    _line(figure, x, y, name, palette.theory, dash=dash, width=1.5, **more)


def _parts(observed: Observations, smoothed: CurveValues, correction: CurveValues) -> CurveAmounts:
    return CurveAmounts(*map(Amount.of, (observed.x, observed.curve, observed.values, smoothed, correction)))


def risk_amounts(risk: Risk) -> RiskAmounts:
    """Of one moment."""
    return RiskAmounts(*map(Amount.of, (risk.mse, risk.bias_squared, risk.variance)))


def _log(figure: Chart, x: Sequence[float] | np.ndarray) -> Chart:
    """Log axes, with ticks at 1, 2 and 5 times the powers of ten between the ends of `x`."""
    low, high = min(x), max(x)
    decades = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(tick) for tick in np.outer(decades, (1, 2, 5)).ravel() if low * 0.99 <= tick <= high * 1.01]
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    figure.update_yaxes(type="log", exponentformat="power")
    return figure
