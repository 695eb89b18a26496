"""What the studio page keeps of a figure between two runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from explorer.serving.cache import ByteLRU, cache_of, once
from explorer.serving.pair import ModelPair
from explorer.studio import Made, Spec, make
from explorer.ui.shell import resources
from explorer.ui.shell.session import Photo, View

_QUIET = 3
"""So many photographs are drawn without a progress bar."""


@dataclass(frozen=True)
class Preview:
    """What the page shows of a figure: small, where the figure itself holds photographs."""

    preview: bytes
    caption: str
    command: str
    size: tuple[float, float]

    @property
    def nbytes(self) -> int:
        return len(self.preview)


def build(view: View, spec: Spec, photos: Sequence[Photo], progress: Callable[[int, int], None] | None = None) -> Made:
    """Makes the figure with the server's engine."""
    return make(spec, photos, ModelPair(resources.engine(), *view.pair.cards), progress)


@once
def _kept() -> ByteLRU[tuple[object, ...], Preview]:
    return cache_of("previews")


@once
def _figures() -> ByteLRU[tuple[object, ...], Made]:
    """The last figures of all visitors, for the files that are asked for after the preview."""
    return cache_of("figures")


def _key(view: View, spec: Spec, photos: Sequence[Photo]) -> tuple[object, ...]:
    return (spec, tuple((photo.digest, photo.title) for photo in photos), *(card.key for card in view.pair.cards))


def preview(view: View, spec: Spec, photos: Sequence[Photo]) -> Preview:
    """The preview and the words of a figure, made when it is not one of the last again."""
    key = _key(view, spec, photos)
    kept = _kept().get(key)
    if kept is None:
        bar = st.progress(0.0, "Running the images …") if len(photos) > _QUIET else None

        def progress(done: int, total: int) -> None:
            if bar:
                bar.progress(done / total, f"Running the images: {done} of {total} …")

        figure = build(view, spec, photos, progress)
        _figures().put(key, figure)
        width, height = figure.figure(dpi=36).get_size_inches()
        kept = Preview(figure.preview(), figure.caption, figure.command, (float(width), float(height)))
        if bar:
            bar.empty()
        _kept().put(key, kept)
    return kept


def file(view: View, spec: Spec, photos: Sequence[Photo], suffix: str) -> Callable[[], bytes]:
    """For a download button: draws the file when it is asked for, of the figure that was previewed while it is kept."""
    return lambda: _figure(view, spec, photos).file(suffix)


def _figure(view: View, spec: Spec, photos: Sequence[Photo]) -> Made:
    key = _key(view, spec, photos)
    figure = _figures().get(key)
    if figure is None:
        figure = build(view, spec, photos)
        _figures().put(key, figure)
    return figure
