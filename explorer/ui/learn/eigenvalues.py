"""Lesson 3: what happens to eigenvalues with depth, which filters are safe, and what the theory does not cover."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from explorer.figures import lessons as figures
from explorer.figures.records import SYMBOLS, Points
from explorer.figures.screen import lessons as screen
from explorer.figures.screen import spectra
from explorer.figures.sliding import Amount, Slider, SlidingPart, SlidingTable, SlidingWords, Slot, WordsKind, steps
from explorer.paper import theory
from explorer.ui import learn, view
from explorer.ui.learn import HandoutPicture, sliding
from explorer.ui.shell import resources
from explorer.ui.shell.session import palette, plain

TITLE = "Eigenvalues and depth"
WORDS = (
    "A filter applied n times raises every eigenvalue to the power n. Standard smoothing leaves λⁿ, twicing "
    "(2λ − λ²)ⁿ, which stays near 1 for longer: eigencapacity, the area below, falls like 1/n or like √π/(2√n).",
    "Among the quadratic filters aλ + (1 − a)λ², those with 1 ≤ a ≤ 2 enhance every λ in [0, 1] and keep it there; "
    "a = 2 enhances most. Eigenvalues of attention are complex, and outside what this says.",
)
ASKED = (
    "After 12 blocks, for which λ is half left of what lies along its eigenvector, under either filter, and why does "
    "a = 2.5 not do better still?"
)


POWER = Slider("lesson3-n", "n, times the filter is applied", tuple(range(1, 49)), 12)
STEPS = Slider("lesson3-capacity-n", POWER.label, tuple(range(1, 201)), 12)
A = Slider("lesson3-a", "a", steps(0.0, 3.0, 0.05), 2.0)


@learn.fragment
def lesson() -> None:
    """One part at a time."""
    part = learn.choose_part("lesson3-part", PARTS)
    part.draw()
    left = sliding.values()
    learn.handout(
        "eigenvalues",
        TITLE,
        WORDS,
        ASKED,
        lambda: pictures(int(sliding.value_of(POWER, left)), sliding.value_of(A, left)),
    )


def _powers() -> None:
    sliding.show("lesson3", (POWER,), sliding.packed(("lesson3-powers",), powers_part))


def powers_part() -> SlidingPart:
    """Both filters once and n times, for every n."""
    numbers = [int(n) for n in POWER.values]
    powers = theory.standard_power, theory.twicing_power
    once = [Amount.of(power(figures.UNIT, 1)) for power in powers]
    often = [Amount.of(np.stack([power(figures.UNIT, n) for n in numbers]), POWER) for power in powers]
    halves = [[f"{half:.3f}" for half in both] for both in zip(*map(_halves, numbers), strict=True)]
    return SlidingPart(
        (POWER,),
        [figures.powers([("1", once[0], once[1]), (f"{{{POWER.key}}}", often[0], often[1])])],
        [
            SlidingWords(
                "For n = {0}, half is left of what lies along an eigenvector with λ = {1} under λⁿ, and with λ = {2} "
                "under (2λ − λ²)ⁿ.",
                [Slot.of(texts, POWER) for texts in (POWER.texts, *halves)],
            )
        ],
    )


def _halves(n: int) -> tuple[float, float]:
    """Where `λ^n` and `(2λ - λ²)^n` are 1/2: with `r = 2^(-1/n)`, at `r` and at `1 - sqrt(1 - r)`."""
    root = 0.5 ** (1 / n)
    return root, float(1 - (1 - root) ** 0.5)


def _capacity() -> None:
    sliding.show("lesson3", (STEPS,), sliding.packed(("lesson3-capacity",), capacity_part))


def capacity_part() -> SlidingPart:
    """How much is left after n steps, for every n, and by which of three ways it is known."""
    numbers = [int(n) for n in STEPS.values]
    rows = [
        [SlidingWords(name)]
        + [
            SlidingWords("{0}", [Slot.of([f"{value(n):.5g}" for n in numbers], STEPS)])
            for value in (exact, partial(theory.eigencapacity, a), partial(theory.eigencapacity_rate, a))
        ]
        for name, a, exact in (
            ("λⁿ", 1.0, theory.eigencapacity_standard),
            ("(2λ − λ²)ⁿ", 2.0, theory.eigencapacity_twicing),
        )
    ]
    return SlidingPart(
        (STEPS,),
        [figures.eigencapacity(numbers[-1], STEPS)],
        [
            SlidingWords(
                "κₙ for n = {0}: ∫₀¹ pⁿ dλ (paper Prop. 1); quadrature by Gauss-Legendre with n + 1 nodes, exact here.",
                [Slot.of(STEPS.texts, STEPS)],
            )
        ],
        [SlidingTable(("filter", "exact", "by quadrature", "rate"), rows)],
    )


def _family() -> None:
    sliding.show("lesson3", (A,), sliding.packed(("lesson3-family",), family_part))


def family_part() -> SlidingPart:
    """The filter with every a, and what of the theory holds for it."""
    members = [theory.family_member(a) for a in A.values]
    over = [(m.maximum_at, m.maximum) if m.maximum > 1 else (np.nan, np.nan) for m in members]
    maximum = Amount.of([[at] for at, _ in over], A), Amount.of([[most] for _, most in over], A)
    curves = Amount.of(np.stack([theory.family(figures.UNIT, a) for a in A.values]), A)
    yes = {True: "yes", False: "**no**"}
    verdicts = [
        f"a = {m.a:g}: enhances every λ in [0, 1]: {yes[m.enhances]}; stays in [0, 1]: {yes[m.bounded]}; "
        f"largest value {m.maximum:.3f} at λ = {m.maximum_at:.2f}; gain at ½: {m.greatest_gain:+.3f}."
        for m in members
    ]
    return SlidingPart(
        (A,),
        [figures.family(curves, f"{{{A.key}}}", maximum)],
        [
            SlidingWords("{0}", [Slot.of(verdicts, A)], WordsKind.TEXT),
            SlidingWords(
                "aλ + (1 − a)λ² − λ = (a − 1)(λ − λ²), so it enhances where a ≥ 1; above a = 2 its maximum "
                "a²/(4(a − 1)) lies inside [0, 1] and exceeds 1. Only a = 2 is flat at λ = 1, and only there does "
                "eigencapacity fall like 1/√n: for a < 2 it is about 1/((2 − a)n)."
            ),
        ],
    )


def _own() -> None:
    chosen = view()
    comparison = chosen.comparison()
    layer = st.slider("Layer", 1, comparison.depth, comparison.depth, key="lesson3-layer", persist_state="session") - 1
    points = own_points(layer)
    left, right = st.columns(2, gap="large")
    with left:
        learn.chart(spectra.overlay(points, palette()), "lesson3-own", "The models' eigenvalues over the curve")
    with right:
        learn.chart(spectra.complex_plane(points, palette(), mapped=False), "lesson3-plane", "The models' eigenvalues")
    for spectrum in points:
        st.markdown(
            f"{plain(spectrum.name)}: {spectrum.nonzero} of {len(spectrum.eigenvalues)} eigenvalues can be told from 0 "
            f"in float32; {int(spectrum.on_curve.sum())} of those are real and not negative. **{spectrum.outside}** "
            "leave the unit disc under 2λ − λ²."
        )
    st.caption(
        "Both models' A of all heads, under the same map. The theory covers real λ in [0, 1], as those of a symmetric "
        "nonlocal-means matrix are. A = softmax(QKᵀ/√d) is not symmetric: its eigenvalues are complex, and 2λ − λ² may "
        "send them out of the unit disc. And every block has another A, with layer norm, values and an MLP in between: "
        "powers of one matrix are a picture of depth, not depth itself."
    )


def own_points(layer: int) -> list[Points]:
    """Both models' eigenvalues of a layer for the chosen photograph."""
    chosen, colours = view(), palette()
    keys = chosen.pair.baseline.key, chosen.pair.twicing.key
    results = resources.spectra_of(chosen.photo.image.digest, keys, layer, chosen.comparison())
    return [
        Points.of(name, colour, symbol, [result])
        for name, colour, symbol, result in zip(chosen.names, colours.models, SYMBOLS, results, strict=True)
    ]


PARTS = {
    "Powers": learn.Part(
        r"p^n(\lambda) = \lambda^n, \qquad \hat p^n(\lambda) = (2\lambda - \lambda^2)^n",
        "Both forget small eigenvalues, which is what removes noise. Twicing keeps those near 1 for longer (Fig. 3).",
        _powers,
    ),
    "Eigencapacity": learn.Part(
        r"\kappa_n(p) = \int_0^1 p^n(\lambda)\,d\lambda",
        "How much of [0, 1] is left after n steps: 1/(n + 1) under λⁿ, about √π/(2√n) under twicing (Prop. 1).",
        _capacity,
    ),
    "The family": learn.Part(
        r"p_a(\lambda) = a\lambda + (1 - a)\lambda^2",
        "Enhancement wants a ≥ 1, boundedness 0 ≤ a ≤ 2. Move a and see where either breaks.",
        _family,
    ),
    "The models' own": learn.Part(
        r"\mathrm{eig}(2A - A^2) = 2\lambda - \lambda^2",
        "The same axes with the loaded models' attention to the chosen photograph: what holds, and what does not.",
        _own,
    ),
}


def pictures(n: int, a: float) -> Sequence[HandoutPicture]:
    """For the handout; made outside a visit, so it asks the session nothing."""
    colours = learn.PAPER
    return (
        (f"What is left after 1 and {n} steps.", screen.powers((1, n) if n > 1 else (1,), colours)),
        ("Eigencapacity: exact, by quadrature (marks), and its rates.", screen.eigencapacity(200, colours, n=n)),
        (f"The quadratic filter with a = {a:g}; shaded: 1 ≤ a ≤ 2.", screen.family(a, colours)),
        ("Powers between a = 1 and a = 2, for n = 1, 2, 6, 12.", screen.powers((1, 2, 6, 12), colours)),
    )
