"""Figures of the lessons in one dimension: curves smoothed and twiced, risk against bandwidth, filters iterated.

Smoothed once is blue and twiced vermillion, as the models are elsewhere; theory is grey and dashed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
from jaxtyping import Float

from explorer.figures.style import Palette, chart, with_alpha
from explorer.lessons.kernels import Kernel
from explorer.lessons.regression import Observations, Steps
from explorer.lessons.risk import BandwidthSweep, BiasOrder, Risk
from explorer.paper import theory
from explorer.settings import Option


class SliderStep(Option):
    """How far twicing has come."""

    SMOOTH = "smooth"
    RESIDUAL = "residual"
    SMOOTH_RESIDUAL = "smooth the residual"
    ADD = "add"


_UNIT = np.linspace(0, 1, 201)
_TIMES_DASHES = ("solid", "dash", "dashdot", "dot")


# --- one dimension ------------------------------------------------------------------------------------------------


def curve(
    observed: Observations, steps: Steps, palette: Palette, *, upto: SliderStep = SliderStep.ADD, height: int = 380
) -> go.Figure:
    """The noisy values, the curve behind them, and the estimates reached by a step of twicing."""
    figure = chart(palette, height=height, x="x", y="value")
    _dots(figure, observed.x, observed.values, "noisy values V", palette.text)
    _theory(figure, observed.x, observed.curve, f"{observed.truth.formula}", palette)
    _line(figure, observed.x, steps.smoothed, "smoothed, AV", palette.baseline)
    if upto is SliderStep.ADD:
        _line(figure, observed.x, steps.twiced, "twiced, AV + A(V − AV)", palette.twicing)
    return figure


def residuals(
    observed: Observations, steps: Steps, palette: Palette, *, upto: SliderStep = SliderStep.ADD, height: int = 260
) -> go.Figure:
    """What smoothing took away, and what smoothing it once more finds in it.

    The dashed line is what both are after: the curve minus its smoothed values.
    """
    figure = chart(palette, height=height, x="x", y="residual")
    if upto is not SliderStep.SMOOTH:
        _dots(figure, observed.x, steps.residual, "residual V − AV", palette.text)
        _theory(figure, observed.x, observed.curve - steps.smoothed, "what AV misses of the curve", palette)
    if upto in (SliderStep.SMOOTH_RESIDUAL, SliderStep.ADD):
        _line(figure, observed.x, steps.smoothed_residual, "smoothed residual A(V − AV)", palette.twicing)
    return figure


def folds(
    observed: Observations,
    estimates: Float[np.ndarray, "fold point"],
    fold: int,
    palette: Palette,
    *,
    height: int = 380,
) -> go.Figure:
    """k-fold twicing over the noisy values, with smoothing once beside it; `fold` is k."""
    figure = chart(palette, height=height, x="x", y="value")
    _dots(figure, observed.x, observed.values, "noisy values V", palette.text)
    _theory(figure, observed.x, observed.curve, observed.truth.formula, palette)
    _line(figure, observed.x, estimates[0], "once", palette.baseline)
    if fold > 1:
        _line(figure, observed.x, estimates[fold - 1], f"{fold}-fold twicing", palette.twicing)
    return figure


def fold_risk(
    folds: Sequence[int], risk: Risk, palette: Palette, *, fold: int | None = None, height: int = 340
) -> go.Figure:
    """Exact bias², variance and their sum against the number of folds: bias falls, variance rises."""
    figure = chart(palette, height=height, x="k, folds", y="mean over points")
    for values, name, dash in _parts(risk):
        _line(figure, list(folds), values, name, palette.twicing, dash=dash, mode="lines+markers")
    if fold is not None:
        figure.add_vline(x=fold, line={"color": palette.theory, "dash": "dot", "width": 1})
    return _log(figure, folds)


def risk(sweep: BandwidthSweep, exact: BandwidthSweep | None, palette: Palette, *, height: int = 400) -> go.Figure:
    """Bias², variance and mean squared error of both kernels against the bandwidth, on log axes.

    `exact` is drawn grey and dashed under what Monte Carlo has so far.
    """
    figure = chart(palette, height=height, x="bandwidth h", y="mean over points")
    if exact is not None:
        quantities = [values for curve in (exact.standard, exact.twicing) for values, _, _ in _parts(curve)]
        for index, values in enumerate(quantities):
            _theory(figure, exact.bandwidths, values, "exact", palette, showlegend=index == 0)
    for of_kernel, name, colour in (
        (sweep.standard, "K", palette.baseline),
        (sweep.twicing, "2K − K∗K", palette.twicing),
    ):
        for values, part, dash in _parts(of_kernel):
            _line(figure, sweep.bandwidths, values, f"{name}: {part}", colour, dash=dash)
        figure.add_scatter(
            x=[sweep.bandwidths[of_kernel.best]],
            y=[of_kernel.mse[of_kernel.best]],
            mode="markers",
            marker={"color": colour, "size": 10, "symbol": "circle-open", "line": {"width": 2.5}},
            name=f"{name}: least error",
            showlegend=False,
            hovertemplate="least error %{y:.3g} at h = %{x:.3g}<extra>" + name + "</extra>",
        )
    return _log(figure, sweep.bandwidths)


def bias_order(order: BiasOrder, palette: Palette, *, height: int = 400) -> go.Figure:
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


def kernels(kernel: Kernel, palette: Palette, *, height: int = 320) -> go.Figure:
    """K and 2K - K * K; the second is negative in places, and so are rows of `2A - A^2`."""
    figure = chart(palette, height=height, x="u", y="weight")
    reach = min(2 * kernel.support, 5.0)
    u = np.linspace(-reach, reach, 401)
    _theory(figure, u, kernel.convolved(u), "K∗K", palette)
    _line(figure, u, kernel.density(u), "K", palette.baseline)
    _line(figure, u, kernel.twicing(u), "2K − K∗K", palette.twicing)
    return figure


# --- eigenvalues --------------------------------------------------------------------------------------------------


def powers(times: Sequence[int], palette: Palette, *, a: float | None = None, height: int = 380) -> go.Figure:
    """`λ^n` and `(2λ - λ²)^n` on [0, 1] for every n (paper Fig. 3); with `a`, `p_a^n` too, grey."""
    figure = chart(palette, height=height, x="eigenvalue λ", y="what is left of it")
    for index, n in enumerate(times):
        dash = _TIMES_DASHES[index % len(_TIMES_DASHES)]
        if a is not None:
            _theory(
                figure, _UNIT, theory.family_power(_UNIT, a, n), f"p<sub>{a:g}</sub><sup>{n}</sup>", palette, dash=dash
            )
        _line(figure, _UNIT, theory.standard_power(_UNIT, n), f"λ<sup>{n}</sup>", palette.baseline, dash=dash)
        _line(figure, _UNIT, theory.twicing_power(_UNIT, n), f"(2λ − λ²)<sup>{n}</sup>", palette.twicing, dash=dash)
    return figure


def eigencapacity(steps: int, palette: Palette, *, n: int | None = None, height: int = 380) -> go.Figure:
    """`κ_n` on log axes: exact as lines, by quadrature as marks, the rates `1/n` and `√π / (2√n)` dashed (Prop. 1)."""
    figure = chart(palette, height=height, x="n, times the filter is applied", y="eigencapacity κₙ")
    every = np.unique(np.geomspace(1, steps, 60).round().astype(int))
    some = np.unique(np.geomspace(1, steps, 12).round().astype(int))
    for a, exact, name, rate, colour, symbol in (
        (1.0, theory.eigencapacity_standard, "1 / (n + 1)", "1/n", palette.baseline, "circle"),
        (2.0, theory.eigencapacity_twicing, "4ⁿ (n!)² / (2n + 1)!", "√π / (2√n)", palette.twicing, "diamond"),
    ):
        _line(figure, every, [exact(int(i)) for i in every], name, colour)
        _theory(figure, every, [theory.eigencapacity_rate(a, int(i)) for i in every], rate, palette)
        figure.add_scatter(
            x=some,
            y=[theory.eigencapacity(a, int(i)) for i in some],
            mode="markers",
            name=f"{name}, quadrature",
            marker={"color": colour, "symbol": f"{symbol}-open", "size": 9, "line": {"width": 2}},
            showlegend=False,
            hovertemplate="n = %{x}: %{y:.5g}, by quadrature<extra></extra>",
        )
    if n is not None:
        figure.add_vline(x=n, line={"color": palette.theory, "dash": "dot", "width": 1})
    return _log(figure, every)


def family(a: float, palette: Palette, *, height: int = 380) -> go.Figure:
    """`p_a(λ) = aλ + (1 - a)λ²` between the two that bound `1 ≤ a ≤ 2`, shaded, with its maximum marked beyond 2."""
    figure = chart(palette, height=height, x="eigenvalue λ", y="p<sub>a</sub>(λ)")
    member = theory.family_member(a)
    figure.add_scatter(
        x=np.concatenate([_UNIT, _UNIT[::-1]]),
        y=np.concatenate([theory.family(_UNIT, 1.0), theory.family(_UNIT, 2.0)[::-1]]),
        fill="toself",
        fillcolor=with_alpha(palette.theory, 0.15),
        line={"width": 0},
        name="1 ≤ a ≤ 2",
        hoverinfo="skip",
    )
    _line(figure, _UNIT, theory.family(_UNIT, 1.0), "λ, a = 1", palette.baseline, width=1.8)
    _line(figure, _UNIT, theory.family(_UNIT, 2.0), "2λ − λ², a = 2", palette.twicing, width=1.8)
    _line(figure, _UNIT, theory.family(_UNIT, a), f"a = {a:g}", palette.text)
    if member.maximum > 1:
        figure.add_scatter(
            x=[member.maximum_at],
            y=[member.maximum],
            mode="markers",
            marker={"color": palette.text, "size": 10, "symbol": "circle-open", "line": {"width": 2}},
            name="maximum",
            showlegend=False,
            hovertemplate="maximum %{y:.4f} at λ = %{x:.4f}<extra></extra>",
        )
    figure.add_hline(y=1, line={"color": palette.theory, "dash": "dot", "width": 1})
    figure.update_yaxes(range=[-0.05, 1.2])
    return figure


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
) -> go.Figure:
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
    figure: go.Figure, x: Any, y: Any, name: str, colour: str, *, dash: str = "solid", width: float = 2.5, **more: Any
) -> None:
    more = {"mode": "lines", "hovertemplate": "%{x:.4g}: %{y:.4g}<extra>" + name + "</extra>"} | more
    figure.add_scatter(x=x, y=y, name=name, line={"color": colour, "width": width, "dash": dash}, **more)


def _theory(figure: go.Figure, x: Any, y: Any, name: str, palette: Palette, *, dash: str = "dash", **more: Any) -> None:
    _line(figure, x, y, name, palette.theory, dash=dash, width=1.5, **more)


def _dots(figure: go.Figure, x: Any, y: Any, name: str, colour: str) -> None:
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        name=name,
        marker={"color": with_alpha(colour, 0.35), "size": 5},
        hovertemplate="%{x:.3f}: %{y:.3f}<extra>" + name + "</extra>",
    )


def _parts(risk: Risk) -> tuple[tuple[np.ndarray, str, str], ...]:
    """Quantity, name and dash: the sum is the solid line."""
    return (risk.mse, "MSE", "solid"), (risk.bias_squared, "bias²", "dashdot"), (risk.variance, "variance", "dot")


def _log(figure: go.Figure, x: Sequence[float] | np.ndarray) -> go.Figure:
    """Log axes, with ticks at 1, 2 and 5 times the powers of ten between the ends of `x`."""
    low, high = min(x), max(x)
    decades = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(tick) for tick in np.outer(decades, (1, 2, 5)).ravel() if low * 0.99 <= tick <= high * 1.01]
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    figure.update_yaxes(type="log", exponentformat="power")
    return figure
