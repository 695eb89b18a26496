"""Controls of the corruptions page."""

from __future__ import annotations

import streamlit as st

from explorer.disturb.corruptions import FINAL_QUALITY, SEVERITIES, Corruption
from explorer.disturb.effects import Choice
from explorer.measures.settings import Queries
from explorer.settings import Option
from explorer.ui.shell import choices

_CUSTOM = "custom"


class Over(Option):
    """Which images a sweep goes over."""

    ONE = "this image"
    ALL = "all images"


def choose() -> Choice:
    """Which disturbance, how strong."""
    kind_column, severity_column, rows_column, seed_column = st.columns([2, 3, 2, 1], gap="medium")
    kind = choices.select("Corruption", Corruption.GAUSSIAN_NOISE, key="corruption-kind", place=kind_column)
    with severity_column:
        severity = st.segmented_control(
            "Severity",
            [*SEVERITIES, _CUSTOM],
            default=3,
            key="corruption-severity",
            required=True,
            persist_state="session",
            help="1 to 5 are ImageNet-C's, for small inputs those of Tiny-ImageNet-C (64 px) or CIFAR-10-C (32 px), "
            "all of Hendrycks & Dietterich 2019. Occlusion is ours: ImageNet-C has none. **custom**: any strength "
            "between, the parameter interpolated.",
        )
        strength = (
            st.slider("Strength", 0.0, 5.0, 2.5, 0.1, key="corruption-strength", persist_state="session")
            if severity == _CUSTOM
            else float(str(severity))
        )
    final_jpeg = kind_column.toggle(
        "Final JPEG",
        key="corruption-final-jpeg",
        persist_state="session",
        help=f"The disturbed picture ends as JPEG of quality {FINAL_QUALITY}, as the files of ImageNet-C and "
        "Tiny-ImageNet-C do.",
    )
    queries = choices.segments(
        "Attention rows",
        Queries.ALL,
        key="corruption-rows",
        place=rows_column,
        help="Whose rows of attention count in its drift: those of all tokens, or of the first token alone: CLS where "
        "there is one, else the first register or patch.",
    )
    seed = seed_column.number_input("Seed", 0, 9999, 0, key="corruption-seed", persist_state="session")
    return Choice(kind, float(strength), int(seed), queries, final_jpeg)
