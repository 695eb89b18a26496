"""Below the maps: whether removing what a map marks changes the answer, and whether maps agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from explorer.attribution.result import Attribution
from explorer.attribution.settings import Method
from explorer.attribution.trust import DEFINITIONS
from explorer.figures.records import Trial
from explorer.figures.screen import trials
from explorer.ui import work
from explorer.ui.challenge.attribution import compute, controls
from explorer.ui.challenge.classes import Targets
from explorer.ui.shell.session import View, array, palette

_MEASURES = "\n".join(f"- **{name}**: {text}" for name, text in DEFINITIONS.items() if name != "Rank correlation")


def faithfulness(view: View, attributions: Sequence[Attribution], names: Sequence[str]) -> None:
    """Curves and numbers of both models' maps, on demand."""
    words, room = st.columns([4, 3], gap="medium")
    words.subheader("Faithfulness", anchor=False, help=_MEASURES)
    words.caption("Does the answer change when what the map marks is taken away, or given back?")
    keys = compute.trust_keys(view, attributions)
    measured = work.offered(
        "trust",
        keys,
        work.line(room),
        "Measuring …",
        lambda tell: compute.trust(view, attributions, tell),
        all(work.kept(key) is not None for key in keys),
        start="Measure faithfulness",
    )
    if measured is None:
        return
    colours = palette()
    for slot, kind in zip(st.columns(2, gap="large"), ("deletion", "insertion"), strict=True):
        lines = [
            Trial(
                f"{name}, AUC {curve.auc:.3f}",
                array(curve.share),
                array(curve.probability),
                colour,
                dash="dash" if card.is_counterfactual else "solid",
            )
            for name, trust, colour, card in zip(view.names, measured, colours.models, view.pair.cards, strict=True)
            for curve in (getattr(trust.curves, kind),)
        ]
        y = "Probability of the class"
        figure = trials.against(
            lines, colours, x=f"Share of the picture, {kind}", y=y, y_range=(0, 1.02), percent=True, markers=False
        )
        slot.plotly_chart(
            figure, key=f"trust-{kind}", config={"displayModeBar": False}, alt=f"{kind} curves of both models"
        )
    st.table(
        {
            "": list(names),
            "Deletion AUC (at random)": [
                f"{trust.curves.deletion.auc:.3f} ({trust.at_random.deletion.auc:.3f})" for trust in measured
            ],
            "Insertion AUC (at random)": [
                f"{trust.curves.insertion.auc:.3f} ({trust.at_random.insertion.auc:.3f})" for trust in measured
            ],
            "Infidelity, logits²": [f"{trust.infidelity:.3g}" for trust in measured],
            "Sensitivity": [f"{trust.sensitivity:.2f}" for trust in measured],
        },
        border="horizontal",
    )


def agreement(view: View, targets: Targets, chosen: Attribution) -> None:
    """Rank correlations between the methods there are maps of, and between the models."""
    words, room = st.columns([4, 3], gap="medium")
    words.subheader(
        "Agreement",
        anchor=False,
        help=DEFINITIONS["Rank correlation"],
    )
    words.caption("Do methods agree about one model, and do the models agree under one method?")
    everything = list(Method)
    ready = all(compute.are_kept(view, m, targets, compute.settings_of(m, chosen)) for m in everything)
    work.offered(
        "agreement",
        ("agreement", view.photo.digest, *(card.key for card in view.pair.cards), targets, chosen.settings),
        work.line(room),
        "Maps of all methods …",
        lambda tell: compute.every_method(view, targets, chosen, tell),
        ready,
        start="Make the maps of all methods",
    )
    methods, within, between = compute.table(view, targets, chosen)
    colours = palette()
    names = [controls.SHORT.get(method, method.label) for method in methods]
    if len(methods) > 1:
        height = 130 + 34 * len(methods)
        for index, slot in enumerate(st.columns(2, gap="large")):
            lower = np.where(np.tri(len(methods), k=-1, dtype=bool), within[index], np.nan)
            figure = trials.correlations(names[:-1], lower[1:, :-1], names[1:], colours, height)
            slot.markdown(f"**{'Baseline' if index == 0 else 'Twicing'}**, between methods")
            slot.plotly_chart(figure, key=f"agreement-{index}", config={"displayModeBar": False})
    if len(methods) == 1:
        number = f"{between[0]:.2f}".replace("-", "−")
        st.markdown(f"**Between the two models**, {methods[0]}: {number}")
        return
    st.markdown("**Between the two models**, method by method")
    figure = trials.correlations(names, between[None], ["both models"], colours, 150)
    st.plotly_chart(figure, key="agreement-between", config={"displayModeBar": False})
