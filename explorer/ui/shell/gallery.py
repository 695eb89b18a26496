"""Thumbnails with names, one of which is chosen: a small component of our own, because `st.image` has no click."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from explorer.files import asset
from explorer.ui.shell import framing
from explorer.ui.shell.session import Photo

CHOSEN = "image"
"""Session key of the chosen photo's key."""


_HTML = """
<div class="images">
  <input type="search" placeholder="Search by name" aria-label="Search images by name" hidden>
  <div class="gallery" role="radiogroup" aria-label="Images"></div>
  <div class="steps">
    <button type="button" aria-label="Previous image" title="Previous image">←</button>
    <span class="place" role="status"></span>
    <button type="button" aria-label="Next image" title="Next image">→</button>
  </div>
</div>
"""


def choose_photo(photos: Sequence[Photo]) -> Photo:
    """Shows the thumbnails and returns the chosen photo, the first one by default, under its crop."""
    render = st.components.v2.component(
        "gallery",
        html=_HTML,
        css=asset("gallery.css"),
        js=asset("gallery.js"),
    )
    by_key = {photo.key: photo for photo in photos}
    if CHOSEN not in st.session_state:  # a first visit: the address may name the image
        st.session_state[CHOSEN] = st.query_params.get("image")
        framing.remember(st.session_state[CHOSEN], st.query_params.get("crop"))
    if st.session_state[CHOSEN] not in by_key:
        st.session_state[CHOSEN] = photos[0].key

    def remember() -> None:
        chosen = st.session_state["gallery"].chosen
        if chosen in by_key:
            st.session_state[CHOSEN] = chosen

    render(
        key="gallery",
        data={
            # A tuple: for a list Streamlit imports pandas, to see whether it is a table.
            "items": tuple({"key": p.key, "title": p.title, "thumbnail": p.thumbnail} for p in photos),
            "chosen": st.session_state[CHOSEN],
        },
        on_chosen_change=remember,
    )
    return framing.applied(by_key[st.session_state[CHOSEN]])
