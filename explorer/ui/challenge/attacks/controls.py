"""Controls of the attacks page."""

from __future__ import annotations

import streamlit as st

from explorer.disturb.settings import (
    FGSM_HAN,
    FGSM_PIXELS,
    PGD_HAN,
    PGD_PIXELS,
    Attack,
    Kind,
    Label,
    Space,
)
from explorer.settings import Option
from explorer.ui.shell import choices


class AttackPreset(Option):
    """Whose settings an attack has."""

    FGSM_PIXELS = "FGSM, pixels"
    PGD_PIXELS = "PGD, pixels"
    FGSM_HAN = "FGSM, as Han et al. coded it"
    PGD_HAN = "PGD, as Han et al. coded it"
    CUSTOM = "custom"


PRESETS = {
    AttackPreset.FGSM_PIXELS: FGSM_PIXELS,
    AttackPreset.PGD_PIXELS: PGD_PIXELS,
    AttackPreset.FGSM_HAN: FGSM_HAN,
    AttackPreset.PGD_HAN: PGD_HAN,
}
_HAN = (
    "as Han et al. coded it: normalised images given to cleverhans without labels or bounds, so the model's own "
    "prediction is the label and pixels may leave [0, 1] (aaronhan223/robust_transformer, imagenet/engine.py"
)
_SOURCES = {
    AttackPreset.FGSM_PIXELS: "FGSM in pixels: Goodfellow et al. 2014, with the paper's budget of 4/255 (App. B.2).",
    AttackPreset.PGD_PIXELS: "PGD in pixels: the paper's budget of 4/255 and 20 steps (App. B.2), its step of 0.15 "
    "read as 0.15 eps, from a random start as in Madry et al. 2017.",
    AttackPreset.FGSM_HAN: f"FGSM {_HAN}).",
    AttackPreset.PGD_HAN: f"PGD {_HAN}; 20 steps of 0.15 eps from a random start, as also in Elliptical Attention's "
    "code, by the paper's group).",
}
"""Where each comes from."""


def choose() -> Attack:
    """The attack's settings: one of the readings of the paper's, or any."""
    preset = choices.segments(
        "Settings",
        AttackPreset.FGSM_PIXELS,
        key="attack-preset",
        help="Of PGD the paper says eps 4/255 and 20 steps with step size of 0.15 (App. B.2): neither of what, nor "
        "where it starts, nor from which class it leads away. Read as 0.15 eps, either in pixels or as the code of its "
        "group has it; which one its numbers are, nobody knows.",
    )
    if preset in PRESETS:
        st.caption(_SOURCES[preset])
        return PRESETS[preset]
    return _custom()


def _custom() -> Attack:
    kind_column, space_column, eps_column, steps_column, size_column = st.columns([5, 7, 6, 4, 4], gap="medium")
    kind = choices.segments("Attack", Kind.PGD, key="attack-kind", place=kind_column)
    space = choices.segments(
        "Space",
        Space.PIXELS,
        key="attack-space",
        place=space_column,
        help="What eps and steps are in: pixels, or units of the normalised input, where nothing is clipped.",
    )
    with space_column:
        own = st.toggle(
            "Own prediction as label",
            key="attack-own",
            persist_state="session",
            help="Leads away from what the attacked model says of the clean image, right or wrong.",
        )
    label = Label.PREDICTED if own else Label.GIVEN
    eps = eps_column.slider(
        "eps, 255ths",
        0.0,
        8.0,
        4.0,
        0.5,
        key="attack-eps",
        persist_state="session",
        help="The most any pixel's channel may change at the model's input, in 255ths of its range or, in normalised "
        "space, of a unit.",
    )
    if kind is Kind.FGSM:
        return Attack(Kind.FGSM, eps=eps / 255, space=space, label=label)
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
    start = eps_column.toggle("Random start", key="attack-start", persist_state="session")
    seed = size_column.number_input("Seed", 0, 9999, 0, key="attack-seed", persist_state="session") if start else 0
    return Attack(
        Kind.PGD, eps / 255, int(steps), size / 255 if size else None, start, int(seed), space=space, label=label
    )
