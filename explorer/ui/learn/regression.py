"""Lesson 1: what smoothing loses on a noisy curve, and how twicing gets it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st

from explorer.figures.screen import lessons as figures
from explorer.figures.screen.lessons import SliderStep
from explorer.lessons import kernels, regression, risk
from explorer.lessons.kernels import Kernel
from explorer.lessons.regression import Observations, Smoother, Truth
from explorer.ui import learn
from explorer.ui.learn import HandoutPicture
from explorer.ui.shell import choices
from explorer.ui.shell.session import palette

TITLE = "Smoothing and what it loses"
WORDS = (
    "Nadaraya-Watson regression replaces each noisy value by a weighted mean of its neighbours, AV. What it takes "
    "away, V − AV, holds noise and, where the curve bends, some of the curve.",
    "Twicing smooths that residual with the same weights and adds it back: AV + A(V − AV) = (2A − A²)V.",
)
ASKED = (
    "At which bandwidth does smoothing twice pay most, and what does it cost? Look at the least errors of both kernels."
)
_FOLDS = (1, 2, 3, 5, 8, 13, 20, 30, 50)
_RUNS = 400
_SWEEP = (0.006, 0.25, 24)


@dataclass(frozen=True)
class SmoothingSettings:
    """What the sliders of the lesson say."""

    truth: str = "waves"
    kernel: str = "Gaussian"
    bandwidth: float = 0.05
    noise: float = 0.3
    points: int = 200
    seed: int = 0

    @property
    def smoother(self) -> Smoother:
        return regression.smoother(self.points, kernels.kernel_named(self.kernel), self.bandwidth)

    @property
    def observations(self) -> Observations:
        return regression.observe(regression.truth_named(self.truth), self.points, self.noise, self.seed)

    @property
    def parts(self) -> tuple[Truth, Kernel]:
        return regression.truth_named(self.truth), kernels.kernel_named(self.kernel)


def controls() -> SmoothingSettings:
    """The sliders, in one row; a fragment that reads them runs alone when they move."""
    curve, kernel, bandwidth, noise, points, again = st.columns([3, 3, 3, 3, 3, 2], vertical_alignment="bottom")
    seed = st.session_state.setdefault("lesson1-seed", 0)
    chosen = SmoothingSettings(
        truth=curve.selectbox("Curve", list(regression.TRUTHS), key="lesson1-curve", persist_state="session"),
        kernel=kernel.selectbox("Kernel", list(kernels.KERNELS), key="lesson1-kernel", persist_state="session"),
        bandwidth=bandwidth.slider(
            "Bandwidth h", 0.005, 0.25, 0.05, 0.005, format="%.3f", key="lesson1-h", persist_state="session"
        ),
        noise=noise.slider("Noise σ", 0.0, 1.0, 0.3, 0.05, key="lesson1-noise", persist_state="session"),
        points=points.slider("Points", 20, 400, 200, 20, key="lesson1-points", persist_state="session"),
        seed=seed,
    )
    again.button("New noise", key="lesson1-again", on_click=_again, width="stretch")
    return chosen


def _again() -> None:
    st.session_state["lesson1-seed"] += 1


def _steps(chosen: SmoothingSettings) -> None:
    """The three steps of twicing, one at a time."""
    upto = choices.segments("Step by step", SliderStep.ADD, key="lesson1-step")
    smoother, observed = chosen.smoother, chosen.observations
    done = regression.steps(smoother, observed.values)
    left, right = st.columns(2, gap="large")
    with left:
        learn.chart(
            figures.curve(observed, done, palette(), upto=upto),
            "lesson1-curves",
            "Noisy values and what smoothing makes",
        )
    with right:
        if upto is SliderStep.SMOOTH:
            st.info("Step 2 shows here what smoothing took away.")
        else:
            learn.chart(
                figures.residuals(observed, done, palette(), upto=upto, height=380), "lesson1-residuals", "Residuals"
            )
    # A positive definite kernel has none (Bochner): then nothing is decomposed while a slider moves.
    if not smoother.kernel.positive_definite and len(smoother.negative):
        st.warning(
            f"**{len(smoother.negative)} of {smoother.points} eigenvalues are negative**, the lowest "
            f"{smoother.negative[-1]:.3f}: the {chosen.kernel} kernel is not positive definite. The theory of "
            "2λ − λ² speaks of [0, 1] only; a negative λ becomes more negative, and folding again lets it grow."
        )
    once, twice = (np.sqrt(np.mean((part - observed.curve) ** 2)) for part in (done.smoothed, done.twiced))
    st.caption(
        f"Root mean squared distance to the curve: once {once:.3f}, twiced {twice:.3f}, for this draw of the noise. "
        f"Design: {chosen.points} midpoints of equal parts of [0, 1]; rows of A sum to 1."
    )


def _risk(chosen: SmoothingSettings) -> None:
    """Risk against bandwidth, exactly at once and by Monte Carlo on demand."""
    truth, kernel = chosen.parts
    bandwidths = risk.bandwidths(*_SWEEP)
    exact = risk.exact_sweep(truth, chosen.points, chosen.noise, kernel, bandwidths)
    slot = st.container()
    started = st.button(f"Check by {_RUNS} draws of noise", key="lesson1-monte-carlo")
    sweep = exact
    if started:
        bar = st.progress(0.0)
        picture = slot.empty()
        steps = risk.monte_carlo(truth, chosen.points, chosen.noise, kernel, bandwidths, runs=_RUNS, seed=chosen.seed)
        for number, report in enumerate(steps):
            bar.progress(report.share, f"{report.done} of {report.total} draws")
            sweep = report.result
            if number % 4 == 0:
                picture.plotly_chart(
                    figures.risk(sweep, exact, palette()),
                    key=f"lesson1-risk-{number}",
                    config={"displayModeBar": False},
                )
        bar.empty()
        picture.empty()
    with slot:
        learn.chart(
            figures.risk(sweep, exact if started else None, palette()), "lesson1-risk", "Bias, variance and MSE"
        )
    if len(exact.raised):
        st.warning(
            f"At **{len(exact.raised)} of {len(bandwidths)} bandwidths**, the widest h = {exact.raised[-1]:.3f}, "
            f"twicing raises the bias. What is left of a bias b is (I − A)b, and with the {chosen.kernel} kernel A has "
            "eigenvalues below 0, along which that is more."
        )
    least = [(curve.mse[curve.best], bandwidths[curve.best]) for curve in (exact.standard, exact.twicing)]
    st.caption(
        f"Least mean squared error: K {least[0][0]:.4f} at h = {least[0][1]:.3f}; 2K − K∗K {least[1][0]:.4f} at "
        f"h = {least[1][1]:.3f}. Means over all points, exact; variance of a linear smoother M is σ² Σⱼ Mᵢⱼ²."
    )


def _order(chosen: SmoothingSettings) -> None:
    """The order of the bias: h² for K, h⁴ for its twicing (Prop. 2)."""
    truth, kernel = chosen.parts
    order = risk.bias_order(truth, kernel)
    left, right = st.columns(2, gap="large")
    with left:
        learn.chart(figures.bias_order(order, palette(), height=380), "lesson1-order", "Bias against bandwidth")
    with right:
        learn.chart(figures.kernels(kernel, palette(), height=380), "lesson1-kernels", "Both kernels")
    once, twice = (kernels.moments(kernel, twicing=twicing) for twicing in (False, True))
    st.dataframe(
        [
            {"kernel": name, "∫ K": round(m.zeroth, 6), "∫ u² K": _moment(m.second), "∫ u⁴ K": _moment(m.fourth)}
            for name, m in (("K", once), ("2K − K∗K", twice))
        ],
        hide_index=True,
    )
    st.caption(
        "Moments by quadrature; in closed form those of 2K − K∗K are 1, 0 and −6μ₂². Exponents are fitted on interior "
        "points of a uniform design of 1,000 points, without noise; dashed: the leading terms of Prop. 2."
    )


def _moment(value: float) -> float:
    return round(value, 6) + 0.0


def _iterating(chosen: SmoothingSettings) -> None:
    """k-fold twicing: closer and closer to the noise."""
    fold = st.select_slider("k, folds", _FOLDS, 2, key="lesson1-fold", persist_state="session")
    smoother, observed = chosen.smoother, chosen.observations
    estimates = regression.folds(smoother, observed.values, max(_FOLDS))
    risks = risk.fold_risk(smoother, observed.truth, chosen.noise, _FOLDS)
    left, right = st.columns(2, gap="large")
    with left:
        learn.chart(figures.folds(observed, estimates, fold, palette()), "lesson1-folds", f"{fold}-fold twicing")
    with right:
        learn.chart(
            figures.fold_risk(_FOLDS, risks, palette(), fold=fold, height=380), "lesson1-fold-risk", "Risk by folds"
        )
    best = _FOLDS[risks.best]
    st.caption(
        f"Exact risk of the same smoother: least at k = {best}. An eigenvalue λ of A becomes 1 − (1 − λ)ᵏ; beyond the "
        "best k the estimate follows the noise."
    )


PARTS = {
    "Three steps": learn.Part(
        r"AV + A(V - AV) = (2A - A^2)V",
        "**Smooth, look at what was lost, smooth that, add.** A holds the weights of each neighbour. The residual "
        "V − AV is noise and curve; smoothing it keeps the curve.",
        _steps,
    ),
    "Bias and variance": learn.Part(
        r"\mathbb{E}\,|\hat f - f|^2 = \mathrm{bias}^2 + \mathrm{variance}",
        "Narrow bandwidths follow the noise, wide ones cut corners. Twicing raises the variance and lowers the bias; "
        "where a kernel has negative eigenvalues, it may raise both.",
        _risk,
    ),
    "Why: the order of the bias": learn.Part(
        r"\int u^2 (2K - K * K)(u)\,du = 2\mu_2 - 2\mu_2 = 0",
        "The second moment of the twicing kernel is 0, so the bias begins with h⁴ instead of h² (paper Prop. 2), where "
        "the curve is smooth and away from the ends.",
        _order,
    ),
    "Again and again": learn.Part(
        r"\lambda \mapsto 1 - (1 - \lambda)^k",
        "Twicing is k = 2. Every further fold gives more back, in the end the noise itself.",
        _iterating,
    ),
}


@learn.fragment
def lesson() -> None:
    """The sliders and one part at a time: what is not looked at is not computed."""
    chosen = controls()
    part = learn.choose_part("lesson1-part", PARTS)
    part.draw(chosen)
    learn.handout("smoothing", TITLE, WORDS, ASKED, partial(pictures, chosen))


def pictures(chosen: SmoothingSettings) -> Sequence[HandoutPicture]:
    """For the handout; made outside a visit, so it asks the session nothing."""
    colours = learn.PAPER
    truth, kernel = chosen.parts
    observed = chosen.observations
    done = regression.steps(chosen.smoother, observed.values)
    exact = risk.exact_sweep(truth, chosen.points, chosen.noise, kernel, risk.bandwidths(*_SWEEP))
    return (
        (
            f"{kernel.name} kernel, h = {chosen.bandwidth:g}, σ = {chosen.noise:g}.",
            figures.curve(observed, done, colours),
        ),
        ("What smoothing takes away, and what twicing gives back.", figures.residuals(observed, done, colours)),
        ("Bias, variance and mean squared error against the bandwidth, exact.", figures.risk(exact, None, colours)),
        ("Bias without noise: orders 2 and 4.", figures.bias_order(risk.bias_order(truth, kernel), colours)),
    )
