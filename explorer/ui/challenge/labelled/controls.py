"""Labelled images of the attacks page: where they come from."""

from __future__ import annotations

import hashlib
from typing import Any

import streamlit as st

from explorer.pictures import images, labelled
from explorer.pictures.labelled import File, Listing
from explorer.types import ModelCard
from explorer.ui.shell import panels
from explorer.ui.shell.sidebar import MAX_UPLOADS
from explorer.ui.shell.uploads import visitor_limit

LOADED, UPLOAD, SERVER = "the images loaded", "a labelled folder", "data on this server"
COUNTS = (50, 200, 500, 2000)
_DIGESTS = "labelled-digests"
_LISTED_SECONDS = 60


def sources() -> list[str]:
    """Where images can come from; the server's only where its operator offers some."""
    options = [LOADED, UPLOAD]
    with panels.refusals():
        options += [SERVER] if labelled.offered() else []
    return options


def choose(source: str, cards: tuple[ModelCard, ModelCard]) -> tuple[str, Listing] | None:
    """The labelled images and what they are called; `None` before there are any."""
    return _uploaded(cards) if source == UPLOAD else _served(cards)


def _uploaded(cards: tuple[ModelCard, ModelCard]) -> tuple[str, Listing] | None:
    uploads: list[Any] = st.file_uploader(
        "Folder with one sub-folder per class",
        type=sorted(images.SUFFIXES),
        accept_multiple_files="directory",
        key="labelled-folder",
        help="A sub-folder's name is the WordNet id, the name or the number of a class of the models. At most "
        f"{MAX_UPLOADS} images of 20 MB each, {visitor_limit() >> 20} MiB together; they stay in memory, "
        "until the page is left.",
    )
    if not uploads:
        return None
    if len(uploads) > MAX_UPLOADS:
        st.error(f"At most {MAX_UPLOADS} images at a time were expected; {len(uploads)} came, the rest is left out.")
    digests: dict[str, str] = st.session_state.setdefault(_DIGESTS, {})
    files = []
    for upload in uploads[:MAX_UPLOADS]:
        if upload.file_id not in digests:
            digests[upload.file_id] = hashlib.sha256(upload.getbuffer()).hexdigest()
        files.append(File(upload.name, digests[upload.file_id], upload.getvalue))
    known = {file.path: file for file in files}  # a folder that was added twice counts once
    title = files[0].path.replace("\\", "/").split("/")[0]
    return title, labelled.in_folders(known.values(), labelled.classes_of(cards))


def _served(cards: tuple[ModelCard, ModelCard]) -> tuple[str, Listing] | None:
    chosen, how_many = st.columns([3, 4], gap="medium")
    offered = labelled.offered()
    name = chosen.selectbox("Data", list(offered), key="labelled-data", persist_state="session")
    count = how_many.segmented_control(
        "At most",
        COUNTS,
        default=COUNTS[1],
        key="labelled-count",
        required=True,
        persist_state="session",
        help="Images, drawn by their names: fewer are a part of more.",
    )
    if name not in offered:
        return None
    named_listing = None
    with panels.refusals():
        named_listing = name, _listed(name, tuple(card.key for card in cards), cards, int(str(count)))
    return named_listing


@st.cache_resource(show_spinner="Listing …", ttl=_LISTED_SECONDS, max_entries=8)
def _listed(name: str, keys: tuple[str, ...], _cards: tuple[ModelCard, ModelCard], count: int) -> Listing:
    path = labelled.offered()[name]
    return labelled.listing(path, labelled.classes_of(_cards)).at_most(count)
