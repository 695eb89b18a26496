"""Sliders that the browser answers: a part of a lesson is sent once, at all positions; moving asks nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial

import streamlit as st

from explorer.figures.sliding import Slider, SlidingPart
from explorer.files import asset
from explorer.ui import work
from explorer.viewer import lesson
from explorer.viewer.source import LESSON, script

_VALUES = "slider-values"
"""Session key of what sliders were left at, by their keys."""

_ASKED = "asked-for-positions"


def values() -> MutableMapping[str, float]:
    """What the visitor's sliders were left at; the same mapping for the whole visit, and readable outside of it."""
    kept: MutableMapping[str, float] = st.session_state.setdefault(_VALUES, {})
    return kept


def value_of(slider: Slider, left: Mapping[str, float]) -> float:
    """A slider's value, where it may stand."""
    return slider.values[slider.nearest(left.get(slider.key, slider.start))]


def show(key: str, sliders: Sequence[Slider], payload: bytes) -> None:
    """Sliders and what they move, packed."""
    render = st.components.v2.component(
        "lesson",
        html='<div class="lesson"></div>',
        css=lesson.style() + asset("lesson.css"),
        js=script(LESSON),
    )
    render(
        key=key,
        data=payload,
        on_left_change=partial(_remember, key, "left", sliders),
        on_more_change=partial(_remember, key, "more", sliders),
    )


def _remember(key: str, event: str, sliders: Sequence[Slider]) -> None:
    """What a browser says is checked: it may be anybody's."""
    said = getattr(st.session_state[key], event, None)
    if event == "more" and said is not None:
        st.session_state[_ASKED] = key
    if not isinstance(said, Mapping):
        return
    for slider in sliders:
        value = said.get(slider.key)
        if isinstance(value, int | float) and math.isfinite(value):
            values()[slider.key] = slider.values[slider.nearest(value)]


def is_asked(key: str) -> bool:
    """Whether this run was asked for positions that are not there yet, of which the one that is shown comes first."""
    return bool(st.session_state.pop(_ASKED, None) == key)


def packed(key: work.Key, make: Callable[[], SlidingPart]) -> bytes:
    """The bytes of a part, remembered by everything it depends on."""
    return work.remembered(("lesson", *key), lambda: lesson.pack(make()), len)
