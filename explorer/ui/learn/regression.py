"""Lesson 1: what smoothing loses on a noisy curve, and how twicing gets it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.figures import lessons as figures
from explorer.figures.lessons import CurveAmounts, RiskAmounts, SliderStep
from explorer.figures.screen import lessons as screen
from explorer.figures.sliding import Amount, Slider, SlidingPart, SlidingWords, Slot, WordsKind, room, steps
from explorer.lessons import kernels, regression, risk, sweeps
from explorer.lessons.kernels import Kernel
from explorer.lessons.regression import Observations, Smoother, Truth
from explorer.lessons.risk import BandwidthSweep, Risk
from explorer.ui import learn
from explorer.ui.learn import HandoutPicture, sliding
from explorer.ui.shell import choices
from explorer.ui.shell.session import palette
from explorer.viewer import lesson as payload

TITLE = "Smoothing and what it loses"
WORDS = (
    "Nadaraya-Watson regression replaces each noisy value by a weighted mean of its neighbours, AV. What it takes "
    "away, V − AV, holds noise and, where the curve bends, some of the curve.",
    "Twicing smooths that residual with the same weights and adds it back: AV + A(V − AV) = (2A − A²)V.",
)
ASKED = (
    "At which bandwidth does smoothing twice pay most, and what does it cost? Look at the least errors of both kernels."
)
_RUNS = 400
_SWEEP = (0.006, 0.25, 24)

BANDWIDTH = Slider("lesson1-h", "Bandwidth h", steps(0.005, 0.25, 0.005), 0.05, "{:.3f}")
NOISE = Slider("lesson1-noise", "Noise σ", steps(0.0, 1.0, 0.05), 0.3, "{:.2f}")
FOLD = Slider("lesson1-fold", "k, folds", (1, 2, 3, 5, 8, 13, 20, 30, 50), 2)
FOLDED = replace(BANDWIDTH, values=(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25))
"""Fewer bandwidths where every one of them has every number of folds."""


@dataclass(frozen=True)
class SmoothingSettings:
    """What is chosen beside the sliders, and what they were left at."""

    truth: str = "waves"
    kernel: str = "Gaussian"
    points: int = 200
    seed: int = 0
    bandwidth: float = BANDWIDTH.start
    noise: float = NOISE.start

    @property
    def smoother(self) -> Smoother:
        return regression.smoother(self.points, kernels.kernel_named(self.kernel), self.bandwidth)

    @property
    def observations(self) -> Observations:
        return regression.observe(regression.truth_named(self.truth), self.points, self.noise, self.seed)

    @property
    def parts(self) -> tuple[Truth, Kernel]:
        return regression.truth_named(self.truth), kernels.kernel_named(self.kernel)

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Everything that is not left to the sliders."""
        return self.truth, self.kernel, self.points, self.seed


def controls() -> SmoothingSettings:
    """What the sliders move over, in one row."""
    curve, kernel, points, again = st.columns([3, 3, 3, 2], vertical_alignment="bottom")
    seed = st.session_state.setdefault("lesson1-seed", 0)
    chosen = SmoothingSettings(
        truth=curve.selectbox("Curve", list(regression.TRUTHS), key="lesson1-curve", persist_state="session"),
        kernel=kernel.selectbox("Kernel", list(kernels.KERNELS), key="lesson1-kernel", persist_state="session"),
        points=points.selectbox("Points", range(20, 401, 20), index=9, key="lesson1-points", persist_state="session"),
        seed=seed,
    )
    again.button("New noise", key="lesson1-again", on_click=_again, width="stretch")
    return at(chosen, sliding.values())


def at(chosen: SmoothingSettings, left: Mapping[str, float]) -> SmoothingSettings:
    """The same where the sliders were left."""
    return replace(chosen, bandwidth=sliding.value_of(BANDWIDTH, left), noise=sliding.value_of(NOISE, left))


def _again() -> None:
    st.session_state["lesson1-seed"] += 1


def _steps(chosen: SmoothingSettings) -> None:
    """The three steps of twicing, one at a time."""
    upto = choices.segments("Step by step", SliderStep.ADD, key="lesson1-step")
    key = "lesson1-steps", *chosen.key, upto
    sliders = BANDWIDTH, NOISE
    sliding.show("lesson1", sliders, sliding.packed(key, lambda: steps_part(chosen, upto)))


def steps_part(chosen: SmoothingSettings, upto: SliderStep) -> SlidingPart:
    """Curves, residuals and their words at every bandwidth and noise."""
    truth, kernel = chosen.parts
    done = sweeps.smoothings(truth, kernel, chosen.points, BANDWIDTH.values, chosen.seed)
    smoothed, correction = (
        Amount.of(of_curve, BANDWIDTH) + Amount.of(of_noise, BANDWIDTH).times(NOISE)
        for of_curve, of_noise in (done.smoothed, done.corrections)
    )
    curve = Amount.of(done.curve)
    amounts = CurveAmounts(Amount.of(done.x), curve, curve + Amount.of(done.noise).times(NOISE), smoothed, correction)
    levels = NOISE.values
    observed = [done.curve + level * done.noise for level in levels]
    once = [done.smoothed[0] + level * done.smoothed[1] for level in levels]
    value_ends = Amount.of([room(np.concatenate([values, done.curve])) for values in observed], NOISE)
    residual_ends = Amount.of([room(values - mean) for values, mean in zip(observed, once, strict=True)], NOISE)
    charts = [figures.curve(amounts, truth.formula, value_ends, upto)]
    words = []
    if upto is SliderStep.SMOOTH:
        words.append(SlidingWords("Step 2 shows beside it what smoothing took away.", kind=WordsKind.TEXT))
    else:
        charts.append(figures.residuals(amounts, residual_ends, upto))
    words += [_negative_words(chosen), _distance_words(chosen, done)]
    return SlidingPart((BANDWIDTH, NOISE), charts, words)


def _negative_words(chosen: SmoothingSettings) -> SlidingWords:
    """A warning at every bandwidth where the theory does not speak of all eigenvalues."""
    negative = sweeps.negative_eigenvalues(chosen.kernel, chosen.points, BANDWIDTH.values)
    texts = [
        f"**{count} of {chosen.points} eigenvalues are negative**, the lowest {lowest:.3f}: the {chosen.kernel} "
        "kernel is not positive definite. The theory of 2λ − λ² speaks of [0, 1] only; a negative λ becomes more "
        "negative, and folding again lets it grow."
        if count
        else ""
        for count, lowest in negative
    ]
    return SlidingWords("{0}", [Slot.of(texts, BANDWIDTH)], WordsKind.WARNING)


def _distance_words(chosen: SmoothingSettings, done: sweeps.Smoothings) -> SlidingWords:
    texts = np.vectorize("{:.3f}".format, otypes=[object])(done.distances(NOISE.values))
    return SlidingWords(
        "Root mean squared distance to the curve: once {0}, twiced {1}, for this draw of the noise. "
        f"Design: {chosen.points} midpoints of equal parts of [0, 1]; rows of A sum to 1.",
        [Slot.of(of_estimate, BANDWIDTH, NOISE) for of_estimate in texts],
    )


def _risk(chosen: SmoothingSettings) -> None:
    """Risk against bandwidth, exactly at once and by Monte Carlo on demand."""
    slot = st.container()
    if st.button(f"Check by {_RUNS} draws of noise", key="lesson1-monte-carlo"):
        packed = payload.pack(risk_part(chosen, _sampled(chosen, slot.empty())))
    else:
        packed = sliding.packed(("lesson1-risk", *chosen.key[:3]), lambda: risk_part(chosen))
    with slot:
        sliding.show("lesson1", (NOISE,), packed)


def _sampled(chosen: SmoothingSettings, picture: DeltaGenerator) -> BandwidthSweep:
    """Risk by drawing noise where the slider was left, shown as it comes."""
    exact = _exact(chosen, chosen.noise)
    bar = st.progress(0.0)
    truth, kernel = chosen.parts
    reports = risk.monte_carlo(
        truth, chosen.points, chosen.noise, kernel, exact.bandwidths, runs=_RUNS, seed=chosen.seed
    )
    sweep = exact
    for number, report in enumerate(reports):
        bar.progress(report.share, f"{report.done} of {report.total} draws")
        sweep = report.result
        if number % 4 == 0:
            picture.plotly_chart(
                screen.risk(sweep, exact, palette()), key=f"lesson1-risk-{number}", config={"displayModeBar": False}
            )
    bar.empty()
    picture.empty()
    return sweep


def _exact(chosen: SmoothingSettings, noise: float) -> BandwidthSweep:
    truth, kernel = chosen.parts
    return risk.exact_sweep(truth, chosen.points, noise, kernel, risk.bandwidths(*_SWEEP))


def risk_part(chosen: SmoothingSettings, sampled: BandwidthSweep | None = None) -> SlidingPart:
    """Exact risk at every noise; where noise was drawn, that in its place and the exact one behind it."""
    at_one, here = _exact(chosen, 1.0), NOISE.nearest(chosen.noise)
    exact = [at_one.at_noise(level) for level in NOISE.values]
    sweeps_drawn = [sampled if sampled and i == here else sweep for i, sweep in enumerate(exact)]
    kernels_drawn = [_by_noise([getattr(sweep, name) for sweep in sweeps_drawn], at_one) for name in _KERNELS]
    behind = []
    if sampled:
        hidden = np.full((len(exact), 1), np.nan)
        hidden[here] = 1.0
        behind = [_by_noise([getattr(sweep, name) for sweep in exact], at_one, hidden)[0] for name in _KERNELS]
    both = [
        [values for risk in (sweep.standard, sweep.twicing) for values in (risk.mse, risk.bias_squared, risk.variance)]
        for sweep in sweeps_drawn
    ]
    ends = Amount.of([figures.log_ends(*values) for values in both], NOISE)
    chart = figures.risk(at_one.bandwidths, kernels_drawn, behind, ends)
    return SlidingPart((NOISE,), [chart], _risk_words(chosen, exact))


_KERNELS = ("standard", "twicing")


def _by_noise(
    risks: Sequence[Risk], sweep: BandwidthSweep, factors: np.ndarray | float = 1.0
) -> tuple[RiskAmounts, Amount, Amount]:
    """Risks by noise, and the place and size of the least of each."""
    quantities = ([getattr(risk, name) for risk in risks] for name in ("mse", "bias_squared", "variance"))
    amounts = RiskAmounts(*(Amount.of(factors * np.array(values), NOISE) for values in quantities))
    places = Amount.of([[sweep.bandwidths[risk.best]] for risk in risks], NOISE)
    return amounts, places, Amount.of([[risk.mse[risk.best]] for risk in risks], NOISE)


def _risk_words(chosen: SmoothingSettings, exact: Sequence[BandwidthSweep]) -> list[SlidingWords]:
    raised, bandwidths = exact[0].raised, exact[0].bandwidths
    warning = (
        f"At **{len(raised)} of {len(bandwidths)} bandwidths**, the widest h = {raised[-1]:.3f}, twicing raises the "
        f"bias. What is left of a bias b is (I − A)b, and with the {chosen.kernel} kernel A has eigenvalues below 0, "
        "along which that is more."
        if len(raised)
        else ""
    )
    least = [
        Slot.of([text.format(curve.mse[curve.best], bandwidths[curve.best]) for curve in curves], NOISE)
        for curves in ([sweep.standard for sweep in exact], [sweep.twicing for sweep in exact])
        for text in ("{0:.4f}", "{1:.3f}")
    ]
    return [
        SlidingWords(warning, kind=WordsKind.WARNING),
        SlidingWords(
            "Least mean squared error: K {0} at h = {1}; 2K − K∗K {2} at h = {3}. Means over all points, exact; "
            "variance of a linear smoother M is σ² Σⱼ Mᵢⱼ².",
            least,
        ),
    ]


def _order(chosen: SmoothingSettings) -> None:
    """The order of the bias: h² for K, h⁴ for its twicing (Prop. 2)."""
    truth, kernel = chosen.parts
    order = risk.bias_order(truth, kernel)
    left, right = st.columns(2, gap="large")
    with left:
        learn.chart(screen.bias_order(order, palette(), height=380), "lesson1-order", "Bias against bandwidth")
    with right:
        learn.chart(screen.kernels(kernel, palette(), height=380), "lesson1-kernels", "Both kernels")
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
    sliders = FOLD, FOLDED, NOISE
    sliding.show("lesson1", sliders, sliding.packed(("lesson1-folds", *chosen.key), lambda: folds_part(chosen)))


def folds_part(chosen: SmoothingSettings) -> SlidingPart:
    """k-fold twicing and its exact risk for every k, bandwidth and noise."""
    truth, kernel = chosen.parts
    numbers = [int(k) for k in FOLD.values]
    done = sweeps.foldings(truth, kernel, chosen.points, FOLDED.values, numbers, chosen.seed)
    observed = regression.observe(truth, chosen.points, 1.0, chosen.seed)
    noise = observed.values - observed.curve
    of_curve, of_noise = done.estimates
    curve = Amount.of(observed.curve)
    amounts = CurveAmounts(
        Amount.of(observed.x),
        curve,
        curve + Amount.of(noise).times(NOISE),
        Amount.of(of_curve[:, 0], FOLDED) + Amount.of(of_noise[:, 0], FOLDED).times(NOISE),
        Amount.of(np.zeros_like(noise)),
    )
    folded = Amount.of(of_curve, FOLDED, FOLD) + Amount.of(of_noise, FOLDED, FOLD).times(NOISE)
    noisy = [observed.curve + level * noise for level in NOISE.values]
    ends = Amount.of([room(np.append(values, observed.curve)) for values in noisy], NOISE)
    variance = np.array([[level**2 * row for level in NOISE.values] for row in done.variance])
    bias = np.broadcast_to(done.bias_squared[:, None], variance.shape)
    risks = RiskAmounts(*(Amount.of(values, FOLDED, NOISE) for values in (bias + variance, bias, variance)))
    risk_ends = Amount.of(
        [
            [figures.log_ends(b, v, b + v) for b, v in zip(*row, strict=True)]
            for row in zip(bias, variance, strict=True)
        ],
        FOLDED,
        NOISE,
    )
    best = np.array([[f"{numbers[k]}" for k in row] for row in (bias + variance).argmin(axis=-1)], dtype=object)
    return SlidingPart(
        (FOLD, FOLDED, NOISE),
        [
            figures.folds(amounts, folded, f"{{{FOLD.key}}}", truth.formula, ends),
            figures.fold_risk(numbers, risks, FOLD, risk_ends),
        ],
        [
            SlidingWords(
                "Exact risk of the same smoother: least at k = {0}. An eigenvalue λ of A becomes 1 − (1 − λ)ᵏ; beyond "
                "the best k the estimate follows the noise.",
                [Slot.of(best, FOLDED, NOISE)],
            )
        ],
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
    left = sliding.values()
    learn.handout("smoothing", TITLE, WORDS, ASKED, lambda: pictures(at(chosen, left)))


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
            screen.curve(observed, done, colours),
        ),
        ("What smoothing takes away, and what twicing gives back.", screen.residuals(observed, done, colours)),
        ("Bias, variance and mean squared error against the bandwidth, exact.", screen.risk(exact, None, colours)),
        ("Bias without noise: orders 2 and 4.", screen.bias_order(risk.bias_order(truth, kernel), colours)),
    )
