"""The attention viewer on a page: it is sent both models' attention once and asks nothing more of the server."""

from __future__ import annotations

import re
from collections.abc import Mapping

import streamlit as st

from explorer import views
from explorer.files import ASSETS
from explorer.serving.device import computing
from explorer.ui import view as current_view
from explorer.ui.shell import detail, pair, resources
from explorer.ui.shell.session import Photo, View
from explorer.viewer import payload as viewer
from explorer.viewer.source import script

_KEY = "viewer"
_SAVED = "saved-view"


def show(view: View) -> None:
    """The viewer for the chosen image and pair, and what can be saved of it."""
    render = st.components.v2.component(
        _KEY,
        html='<div class="viewer"></div>',
        css=(ASSETS / "viewer.css").read_text(encoding="utf-8"),
        js=script(),
    )
    render(key=_KEY, data=payload(view), on_saved_change=_remember)
    stem = re.sub(r"\W+", "-", view.photo.title).strip("-")[:60] or "attention"
    page_column, view_column, _ = st.columns([2, 2, 6])
    page_column.download_button(
        "Save as HTML",
        data=lambda: viewer.page(payload(view), view.photo.title),
        file_name=f"{stem}.html",
        mime="text/html",
        on_click="ignore",
        help="This viewer with this image in one file: opens from disk, without a server or a network.",
    )
    key, state = st.session_state.get(_SAVED, (None, {}))
    if key == view.photo.key and view.photo.example is None:
        view_column.download_button(
            "Download the view",
            data=lambda: views.pack(_bundle(view.photo, state)),
            file_name=f"{stem}.zip",
            mime="application/zip",
            on_click="ignore",
            help="The image and what the viewer shows of it. Upload the ZIP to see the same again.",
        )


def _remember() -> None:
    """What the viewer shows, when somebody asked to save it."""
    saved = st.session_state[_KEY].saved
    if isinstance(saved, dict):
        state = {str(key)[:40]: str(value)[:100] for key, value in saved.items()}
        st.session_state[_SAVED] = current_view().photo.key, state | detail.parameters(current_view())


def _bundle(photo: Photo, state: Mapping[str, str]) -> views.Bundle:
    """The photograph as it came, what is made of it, and what is shown of that."""
    crop = {"crop": str(photo.crop)} if photo.crop else {}
    return views.Bundle((photo.whole or photo).title, photo.read(), {**state, **crop})


def payload(view: View) -> bytes:
    """What the viewer is sent; remembered, because every rerun asks for it again."""
    cards = view.pair.cards
    key = (view.photo.digest, view.photo.key, *(card.key for card in cards), repr(view.photo.state))

    def pack() -> resources.Payload:
        sides = [viewer.ViewerSide(trace, card) for trace, card in zip(view.comparison(), cards, strict=True)]
        baseline, twicing = (pair.short(card) for card in view.loaded.cards)
        crop = {"crop": str(view.photo.crop)} if view.photo.crop else {}
        link = {"image": view.photo.key, **crop, "baseline": baseline, "twicing": twicing, **detail.parameters(view)}
        with computing():
            return resources.Payload(
                viewer.pack(view.photo.image, sides, link if view.photo.example else None, view.photo.state)
            )

    return resources.payloads().get_or_make(key, pack).data
