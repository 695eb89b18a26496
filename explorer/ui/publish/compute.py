"""What the studio page keeps of a figure between two runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from explorer.pictures.photographs import EXAMPLE, Photograph
from explorer.serving.cache import ByteLRU
from explorer.serving.pair import ModelPair
from explorer.studio import Made, Spec, make
from explorer.ui.shell import resources
from explorer.ui.shell.session import Photo, View

_QUIET = 3
"""So many photographs are drawn without a progress bar."""


@dataclass(frozen=True)
class Shown:
    """What the page shows of a figure: small, where the figure itself holds photographs."""

    preview: bytes
    caption: str
    command: str
    size: tuple[float, float]

    @property
    def nbytes(self) -> int:
        return len(self.preview)


def photographs(photos: Sequence[Photo]) -> list[Photograph]:
    """The visitor's images as the studio takes them."""
    return [Photograph(_name(photo), photo.title, photo.read) for photo in photos]


def _name(photo: Photo) -> str:
    return EXAMPLE + photo.example.file if photo.example else photo.title


def build(view: View, spec: Spec, photos: Sequence[Photo], progress: Callable[[int, int], None] | None = None) -> Made:
    """Makes the figure with the server's engine."""
    return make(spec, photographs(photos), ModelPair(resources.engine(), *view.pair.cards), progress)


@st.cache_resource(show_spinner=False)
def _kept() -> ByteLRU[tuple[object, ...], Shown]:
    return ByteLRU(8 * 2**20)


def shown(view: View, spec: Spec, photos: Sequence[Photo]) -> Shown:
    """The preview and the words of a figure, made when it is not the last one again."""
    key = (spec, tuple((photo.digest, photo.title) for photo in photos), *(card.key for card in view.pair.cards))
    kept = _kept().get(key)
    if kept is None:
        bar = st.progress(0.0, "Running the images …") if len(photos) > _QUIET else None

        def progress(done: int, total: int) -> None:
            if bar:
                bar.progress(done / total, f"Running the images: {done} of {total} …")

        made = build(view, spec, photos, progress)
        width, height = made.figure(dpi=36).get_size_inches()
        kept = Shown(made.preview(), made.caption, made.command, (float(width), float(height)))
        if bar:
            bar.empty()
        _kept().put(key, kept)
    return kept


def file(view: View, spec: Spec, photos: Sequence[Photo], suffix: str) -> Callable[[], bytes]:
    """For a download button: makes the file when it is asked for."""
    return lambda: build(view, spec, photos).file(suffix)
