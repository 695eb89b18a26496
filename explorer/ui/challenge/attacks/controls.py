"""Controls of the attacks page."""

from __future__ import annotations

import streamlit as st

from explorer.disturb.settings import PAPER_FGSM, PAPER_PGD, Attack, Kind
from explorer.settings import Option
from explorer.ui.shell import choices


class AttackPreset(Option):
    """Whose settings an attack has."""

    PAPER_FGSM = "paper FGSM"
    PAPER_PGD = "paper PGD"
    CUSTOM = "custom"


PRESETS = {AttackPreset.PAPER_FGSM: PAPER_FGSM, AttackPreset.PAPER_PGD: PAPER_PGD}


def choose() -> Attack:
    """The attack's settings: the paper's, or any."""
    preset_column, kind_column, eps_column, steps_column, size_column = st.columns([11, 5, 6, 4, 4], gap="medium")
    preset = choices.segments(
        "Settings",
        AttackPreset.PAPER_FGSM,
        key="attack-preset",
        place=preset_column,
        help="The paper's (App. B.2): eps 4/255, PGD with 20 steps of 0.15. It gives no unit for the step; we read "
        "0.15/255, so that 20 steps reach 3/255 and never the border of the ball.",
    )
    if preset in PRESETS:
        return PRESETS[preset]
    kind = choices.segments("Attack", Kind.PGD, key="attack-kind", place=kind_column)
    eps = eps_column.slider(
        "eps, 255ths",
        0.0,
        8.0,
        4.0,
        0.5,
        key="attack-eps",
        persist_state="session",
        help="The most any pixel's channel may change, in 255ths of its range, at the model's input.",
    )
    if kind is Kind.FGSM:
        return Attack(Kind.FGSM, eps=eps / 255)
    steps = steps_column.number_input("Steps", 1, 100, 20, key="attack-steps", persist_state="session")
    size = size_column.number_input(
        "Step, 255ths",
        0.0,
        8.0,
        0.0,
        0.05,
        key="attack-step",
        persist_state="session",
        help="0: 2.5 eps / steps, as Madry et al. recommend.",
    )
    start = steps_column.toggle("Random start", key="attack-start", persist_state="session")
    seed = size_column.number_input("Seed", 0, 9999, 0, key="attack-seed", persist_state="session") if start else 0
    return Attack(Kind.PGD, eps / 255, int(steps), size / 255 if size else None, start, int(seed))
