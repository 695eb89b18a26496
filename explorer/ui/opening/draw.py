"""The start page's component. Imports no torch: the opening is painted while that is still being imported."""

from __future__ import annotations

import streamlit as st

from explorer.files import asset
from explorer.viewer.source import START, script

_KEY = "start"
_DRAWN = "start-drawn"
WAYS = "start-ways"
"""Key of the container of links to other pages; it is hidden, and `js/start.js` looks for it by its class."""
_STYLE = (
    # Everything fits on the screen of a laptop.
    ".stMainBlockContainer { padding: 3.9rem 2rem 0.5rem; } "
    f":has(> .st-key-{WAYS}), .st-key-{WAYS} {{ display: none; }} "
    "@media (max-width: 640px) { .stMainBlockContainer { padding: 3.9rem 1rem 2rem; } }"
)


def begin() -> None:
    """A run of the page begins: nothing is drawn yet."""
    st.session_state[_DRAWN] = None


def show(payload: bytes) -> None:
    """The component, unless this run has drawn it already; runs again where that showed something else."""
    if (drawn := st.session_state[_DRAWN]) is not None:
        if drawn != payload:
            st.rerun()
        return
    st.session_state[_DRAWN] = payload
    mount(payload)


def mount(payload: bytes) -> None:
    """The component with what it is sent."""
    st.html(f"<style>{_STYLE}</style>")
    render = st.components.v2.component(
        "start",
        html='<div class="start"></div>',
        css=asset("start.css"),
        js=script(START),
    )
    render(key=_KEY, data=payload)
