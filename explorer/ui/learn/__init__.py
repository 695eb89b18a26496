"""What the lessons share: an opening with a large-text switch, charts, a question at the end, a handout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVarTuple

import streamlit as st

from explorer.figures.screen.chart import Chart
from explorer.figures.style import PALETTES, Theme
from explorer.ui.shell import panels

_LARGE = "large-text"
_PIXELS = 21
"""The root's font size for a projector, on which all other sizes rest; normally 15."""
_CHART_SIZE, _LARGE_CHART_SIZE = 13, 18

PAPER = PALETTES[Theme.LIGHT]
"""Colours of what is printed."""

HandoutPicture = tuple[str, Chart]
"""A figure and the sentence below it."""

Args = TypeVarTuple("Args")
Given = ParamSpec("Given")


@dataclass(frozen=True)
class Part(Generic[*Args]):
    """One part of a lesson: a formula, words, and what draws it."""

    formula: str
    words: str
    draw: Callable[[*Args], None]


def fragment(draw: Callable[Given, None]) -> Callable[Given, None]:
    """Streamlit's fragment, which says itself what is wrong: an exception that leaves one is not shown in words."""
    drawn: Callable[Given, None] = st.fragment(panels.refusals()(draw))
    return drawn


def opening(title: str, sentence: str) -> None:
    """The lesson's title and its first sentence, beside the switch for a projector."""
    words, switch = st.columns([5, 1], vertical_alignment="bottom")
    with words:
        panels.opening(title, sentence)
    switch.toggle("Large text", key=_LARGE, persist_state="session", help="For a projector.")
    if is_large():
        st.html(f"<style>html {{ font-size: {_PIXELS}px; }}</style>")


def is_large() -> bool:
    """Whether this is shown to a room."""
    return bool(st.session_state.get(_LARGE, False))


def chart(figure: Chart, key: str, alt: str) -> None:
    """A plotly figure, its text as large as the page's."""
    figure.update_layout(font={"size": _LARGE_CHART_SIZE if is_large() else _CHART_SIZE})
    st.plotly_chart(figure, key=key, config={"displayModeBar": False}, alt=alt)


def choose_part(key: str, parts: Mapping[str, Part[*Args]]) -> Part[*Args]:
    """Which part of the lesson is shown, by a row of names, and what it is about."""
    numbered = {name: f"{number}. {name}" for number, name in enumerate(parts, start=1)}
    name: Any = st.segmented_control(
        "Part",
        list(numbered),
        format_func=numbered.__getitem__,
        default=next(iter(parts)),
        key=key,
        required=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    chosen = parts[name]
    formula, words = st.columns([2, 3], gap="medium", vertical_alignment="center")
    formula.latex(chosen.formula)
    words.markdown(chosen.words)
    return chosen


def question(asked: str, answer: str) -> None:
    """The question a lesson ends with, and where on the page its answer can be seen."""
    with st.container(border=True):
        st.markdown(f"**Question.** {asked}")
        with st.expander("Compare with your answer"):
            st.markdown(answer)


def handout(
    name: str, title: str, words: Sequence[str], asked: str, pictures: Callable[[], Sequence[HandoutPicture]]
) -> None:
    """A button for one page of PDF with the pictures as they are now; drawn when it is asked for."""
    st.download_button(
        "Handout (PDF)",
        data=lambda: _handout(title, words, asked, pictures()),
        file_name=f"{name}.pdf",
        mime="application/pdf",
        key=f"handout-{name}",
        on_click="ignore",
        help="One page with this lesson's pictures as they are now.",
    )


def _handout(title: str, words: Sequence[str], asked: str, pictures: Sequence[Any]) -> bytes:
    from explorer.figures.print import handout

    return handout.draw(title, words, asked, pictures)
