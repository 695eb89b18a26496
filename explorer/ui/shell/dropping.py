"""Photographs dropped anywhere on the page, or pasted, go to the uploader, which refuses what it would refuse."""

from __future__ import annotations

import streamlit as st

from explorer.files import asset

UPLOADER = "uploads"
"""Key of the container of the uploader that takes them; `assets/drop.js` looks for it by its class."""


def listen() -> None:
    """A component without a look of its own: listens to the page, and shows a sign while something is dragged."""
    render = st.components.v2.component("drop", html="<span></span>", js=asset("drop.js"))
    render(key="drop", height=1)
