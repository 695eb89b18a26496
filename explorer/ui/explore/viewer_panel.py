"""The attention viewer on a page: what it opens with, what it fetches when looked at, and what is saved of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer import views
from explorer.files import ASSETS
from explorer.jobs.passes import TraceJob
from explorer.serving.device import computing
from explorer.serving.engine import ask
from explorer.traces import Trace
from explorer.types import ModelCard
from explorer.ui import view as current_view
from explorer.ui.explore import pieces
from explorer.ui.shell import addresses, resources
from explorer.ui.shell.session import Photo, View
from explorer.viewer import payload as viewer
from explorer.viewer import pieces as parts
from explorer.viewer.source import script

_KEY = "viewer"
_SAVED = "saved-view"
_LARGE = 12_000_000
"""Bytes of matrices up to which a saved page carries all layers unless it is told otherwise."""


def show(view: View) -> None:
    """The viewer for the chosen image and pair, and what can be saved of it."""
    render = st.components.v2.component(
        _KEY,
        html='<div class="viewer"></div>',
        css=(ASSETS / "viewer.css").read_text(encoding="utf-8"),
        js=script(),
    )
    render(key=_KEY, data=_enveloped(view), on_saved_change=_remember)
    stem = re.sub(r"\W+", "-", view.photo.title).strip("-")[:60] or "attention"
    carried_column, page_column, view_column, _ = st.columns([3, 2, 2, 3], vertical_alignment="bottom")
    carried = _carried(carried_column, view)
    page_column.download_button(
        "Save as HTML",
        data=lambda: _page(view, carried),
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


def _carried(place: DeltaGenerator, view: View) -> Sequence[int] | None:
    """Asks which layers a saved page carries, 0-based; None is all."""
    depth, all_layers = view.comparison().depth, "all layers"
    by_size = {all_layers: None, "the query at rest alone": (), **{f"layer {n + 1}": (n,) for n in range(depth)}}
    size = sum(viewer.carried_bytes(trace) for trace in view.comparison())
    choices = [name for name, layers in by_size.items() if layers is not None or size <= viewer.MOST_BYTES]
    name = place.selectbox(
        "Saved with",
        choices,
        index=0 if choices[0] == all_layers and size <= _LARGE else len(choices) - 1,
        key="saved-layers",
        help=f"All layers take {size / 1e6:.0f} MB. A page without a layer shows it for the query at rest alone.",
    )
    return by_size[str(name)]


def _page(view: View, layers: Sequence[int] | None) -> str:
    return viewer.page(_packed(view, layers), view.photo.title)


def _enveloped(view: View) -> bytes:
    """The address of the pieces, which is the session's own, and the payload, which is not."""
    address = pieces.address(_key_of(view), view).encode()
    address += b" " * (-len(address) % 4)
    return len(address).to_bytes(4, "little") + address + payload(view)


def piece(view: View, side: int, kind: str, at: int) -> bytes:
    """A part of what a model made of the view's image; see `viewer.pieces`.

    Raises `LookupError` for a layer or token that is not there.
    """
    card = view.pair.cards[side]
    trace = ask(resources.engine(), TraceJob(), [view.photo.image], card.key)[0]
    with computing():
        if kind == "rows":
            if not -1 <= at < trace.attention.shape[-1]:
                raise LookupError(at)
            return parts.rows(trace, None if at == -1 else at)
        if not 0 <= at < trace.depth:
            raise LookupError(at)
        return parts.layer(trace, at) if kind == "layer" else _rollouts(view, card, trace)[at]


def _rollouts(view: View, card: ModelCard, trace: Trace) -> Sequence[bytes]:
    """Of every layer, made at once and remembered."""
    key = view.photo.digest, card.key, "rollouts"

    def make() -> resources.Payload:
        return resources.Payload(b"".join(map(parts.rollout, parts.products(trace))))

    data = resources.payloads().get_or_make(key, make).data
    size = len(data) // trace.depth
    return [data[start : start + size] for start in range(0, len(data), size)]


def _remember() -> None:
    """What the viewer shows, when somebody asked to save it."""
    saved = st.session_state[_KEY].saved
    if isinstance(saved, dict):
        state = {str(key)[:40]: str(value)[:100] for key, value in saved.items()}
        st.session_state[_SAVED] = current_view().photo.key, state | addresses.of_saved(current_view())


def _bundle(photo: Photo, state: Mapping[str, str]) -> views.Bundle:
    """The photograph as it came, what is made of it, and what is shown of that."""
    crop = {"crop": str(photo.crop)} if photo.crop else {}
    return views.Bundle((photo.whole or photo).title, photo.read(), {**state, **crop})


def _key_of(view: View) -> tuple[str, ...]:
    return view.photo.digest, view.photo.key, *(card.key for card in view.pair.cards), repr(view.photo.state)


def payload(view: View) -> bytes:
    """What the viewer is sent; remembered, because every rerun asks for it again."""
    return resources.payloads().get_or_make(_key_of(view), lambda: resources.Payload(_packed(view, ()))).data


def _packed(view: View, layers: Collection[int] | None) -> bytes:
    """With the matrices of some layers, or of all."""
    cards = view.pair.cards
    sides = [viewer.ViewerSide(trace, card) for trace, card in zip(view.comparison(), cards, strict=True)]
    with computing():
        return viewer.pack(view.photo.image, sides, addresses.of_view(view), view.photo.state, layers=layers)
