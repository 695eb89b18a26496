"""The sidebar every page shares: images and the pair of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer import views
from explorer.pictures import examples, images
from explorer.pictures.photographs import EXAMPLE
from explorer.serving import device as devices
from explorer.types import ExplorerError
from explorer.ui.shell import detail, dropping, framing, gallery, pair, resources, swapping, uploads
from explorer.ui.shell.session import Pair, Photo, View, plain

MAX_UPLOADS = 500
_UPLOADS = "uploads"
_DIGESTS = "digests"
_REFUSED = "refused"
_VIEWS = "uploaded-views"
_GENERATION = "upload-generation"
_KNOWN = "known-uploads"


def render() -> View:
    """Draws the sidebar and returns what the visitor chose. Raises `ExplorerError` when no model can be loaded."""
    cards = resources.engine().cards
    with st.sidebar:
        for problem in resources.loaded().problems:
            st.error(plain(problem, 400))
        above = st.container()
        between = st.container()
        uploaded = _uploads(above)
        _choose_new(uploaded)
        photos = [*uploaded, *example_photos()]
        models = pair.choose_pair(cards)
        swapping.offer(models)
        with between:
            photo = gallery.choose_photo(photos)
            _describe(photo)
        pair.restore(photo)
        detail.restore(photo)
        at_size = detail.at_chosen(models)
        with between:
            framing.choose(photo, at_size)
        _footer(at_size)
        dropping.listen()
    return View(photo, [framing.applied(each) for each in photos], at_size, models)


def example_photos() -> list[Photo]:
    """The bundled photographs, each decoded once per process."""
    photos = []
    for item in examples.EXAMPLES:
        read = partial(examples.read, item)
        photos.append(_photo(item.file, item.name, resources.digest(item), read, item))
    return photos


def _describe(photo: Photo) -> None:
    credit = f" ({photo.example.credit})" if photo.example else ""
    st.caption(plain((photo.whole or photo).title + credit, 120))
    for note in photo.image.notes:
        st.caption(plain(note, 200))


def _uploads(above: DeltaGenerator) -> list[Photo]:
    """The uploader comes first; what else belongs to uploads has a place further down."""
    generation = st.session_state.setdefault(_GENERATION, 0)
    with above.container(key=dropping.UPLOADER):
        files: list[Any] = st.file_uploader(
            "Upload images",
            accept_multiple_files=True,
            key=f"{_UPLOADS}-images-{generation}",
            help="Drop them anywhere on the page, paste them, or choose files: "
            f"{images.KINDS}, at most 20 MB each and {uploads.visitor_limit() >> 20} MiB together; "
            "or a view saved as ZIP.",
        )
        st.caption(f"Or drop them anywhere, or paste. {uploads.promise()}")
    with st.expander("Upload a folder"):
        folder: Any = st.file_uploader(
            "Upload a folder",
            accept_multiple_files="directory",
            key=f"{_UPLOADS}-folder-{generation}",
            label_visibility="collapsed",
        )
    everything = [*files, *(folder or [])]
    if len(everything) > MAX_UPLOADS:
        above.error(
            f"At most {MAX_UPLOADS} images at a time were expected; {len(everything)} came, the rest is left out."
        )
    photos: dict[str, Photo] = {}
    refused: dict[str, str] = st.session_state.setdefault(_REFUSED, {})
    digests: dict[str, str] = st.session_state.setdefault(_DIGESTS, {})
    saved: dict[str, views.Bundle] = st.session_state.setdefault(_VIEWS, {})
    for file in everything[:MAX_UPLOADS]:
        if file.file_id not in digests and file.file_id not in refused:
            try:
                digests[file.file_id] = resources.decode(_image(file)).digest
                if _is_view(file):
                    saved[file.file_id] = view = replace(views.unpack(file.getvalue()), image=b"")  # the file holds it
                    framing.remember(digests[file.file_id], view.state.get("crop"))
            except ExplorerError as error:
                refused[file.file_id] = str(error)
        if file.file_id in refused:
            above.error(f"{plain(file.name)}: {plain(refused[file.file_id], 300)}")
        else:
            digest = digests[file.file_id]
            bundle = saved.get(file.file_id)
            photo = _photo(digest, bundle.name if bundle else file.name, digest, partial(_image, file))
            photos.setdefault(
                digest, replace(photo, state=bundle.state if bundle else None)
            )  # the same bytes are one image
    if everything and above.button("Clear all uploads", key="clear-uploads", width="stretch"):
        st.session_state[_GENERATION] += 1
        st.rerun()
    return list(photos.values())


def _is_view(file: Any) -> bool:
    return bool(file.name.lower().endswith(".zip"))


def _image(file: Any) -> bytes:
    """The image of an upload, which may be a saved view."""
    data: bytes = file.getvalue()
    return views.unpack(data).image if _is_view(file) else data


def _photo(
    key: str, title: str, digest: str, read: Callable[[], bytes], example: examples.Example | None = None
) -> Photo:
    small = resources.thumbnail(digest, read)
    name = EXAMPLE + example.file if example else title
    return Photo(name=name, title=title, read=read, key=key, digest=digest, thumbnail=small, example=example)


def _choose_new(uploaded: Sequence[Photo]) -> None:
    """The first image that was not there in the last run is what the visitor wants to see."""
    known = st.session_state.get(_KNOWN, frozenset())
    new = [photo.key for photo in uploaded if photo.key not in known]
    if new:
        st.session_state[gallery.CHOSEN] = new[0]
    st.session_state[_KNOWN] = frozenset(photo.key for photo in uploaded)


def _footer(models: Pair) -> None:
    for card in dict.fromkeys(models.cards):
        trained = ", as trained" if card.is_counterfactual or card.changes else ""
        top1 = "top-1 not declared" if card.top1 is None else f"top-1 {card.top1:.1f}%{trained}"
        st.caption(" ".join([f"{plain(card.title, 90)}: {card.chance}, {top1}", *card.changes]))
    st.caption(f"Runs on {devices.describe(resources.engine().device)}")
