"""The attention viewer on a page: it is sent both models' attention once and asks nothing more of the server."""

from __future__ import annotations

import re

import streamlit as st

from explorer import viewer
from explorer.ui import pair, resources
from explorer.ui.session import View

_KEY = "viewer"


def show(view: View) -> None:
    """The viewer for the chosen image and pair, and what can be saved of it."""
    render = st.components.v2.component(
        _KEY,
        html='<div class="viewer"></div>',
        css=(viewer.ASSETS / "viewer.css").read_text(encoding="utf-8"),
        js=(viewer.ASSETS / "viewer.js").read_text(encoding="utf-8"),
    )
    render(key=_KEY, data=payload(view))
    stem = re.sub(r"\W+", "-", view.photo.title).strip("-")[:60] or "attention"
    st.download_button(
        "Save as HTML",
        data=lambda: viewer.page(payload(view), view.photo.title),
        file_name=f"{stem}.html",
        mime="text/html",
        on_click="ignore",
        help="This viewer with this image in one file: opens from disk, without a server or a network.",
    )


def payload(view: View) -> bytes:
    """What the viewer is sent; remembered, because every rerun asks for it again."""
    cards = view.pair.cards
    key = (view.photo.digest, *(card.key for card in cards))
    kept = resources.payloads().get(key)
    if kept is None:
        sides = [viewer.Side(trace, card) for trace, card in zip(view.comparison(), cards, strict=True)]
        baseline, twicing = (pair.short(card) for card in cards)
        link = {"image": view.photo.key, "baseline": baseline, "twicing": twicing} if view.photo.example else None
        kept = resources.Payload(viewer.pack(view.photo.image, sides, link, view.photo.title))
        resources.payloads().put(key, kept)
    return kept.data
