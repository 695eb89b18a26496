"""Choices on the screen: an enum's labels to click on, its option back."""

from __future__ import annotations

from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.settings import Option

ChosenT = TypeVar("ChosenT", bound=Option)


def segments(label: str, default: ChosenT, *, key: str, place: DeltaGenerator | None = None, **given: Any) -> ChosenT:
    """A row of buttons, one for each option, of which one is always chosen."""
    kind = type(default)
    given = {"options": list(kind), "format_func": _label(kind), **given}
    chosen = (place or st).segmented_control(
        label, default=default, key=key, required=True, persist_state="session", **given
    )
    return kind(chosen)


def select(label: str, default: ChosenT, *, key: str, place: DeltaGenerator | None = None, **given: Any) -> ChosenT:
    """The options in a box that opens."""
    kind = type(default)
    index = list(kind).index(default)
    chosen = (place or st).selectbox(
        label, list(kind), index, format_func=_label(kind), key=key, persist_state="session", **given
    )
    return kind(chosen)


def _label(kind: type[ChosenT]) -> Any:
    """A session may hold the spelling instead of the option."""
    return lambda option: kind(option).label
