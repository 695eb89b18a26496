"""What the figure studio draws and of what, and what it keeps of a figure between two runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from explorer.pictures.photographs import EXAMPLE, Photograph
from explorer.serving.cache import ByteLRU
from explorer.serving.pair import ModelPair
from explorer.studio import Made, Spec, Template, make
from explorer.studio.spec import GRIDS
from explorer.ui import resources
from explorer.ui.session import Photo, View

MAX_ROWS = 24
"""Photographs in one figure; curves take any number."""
TITLES = {
    Template.HEATMAPS: "Heatmaps (paper Fig. 1, 11)",
    Template.EVOLUTION: "Evolution over layers (Fig. 10)",
    Template.SIMILARITY: "Token similarity (Fig. 2, 8)",
    Template.DYNAMICS: "Filter dynamics (Fig. 3)",
    Template.SPECTRUM: "Spectrum overlay",
    Template.RESIDUAL: "Smoothed residual",
    Template.OPERATORS: "Operators of one query",
    Template.ATTRIBUTION: "Attribution of a class",
    Template.CORRUPTION: "Maps under a corruption",
    Template.ATTACK: "Adversarial images",
    Template.ROBUSTNESS: "Accuracy under attack (Fig. 5, 6)",
}
_START = 3


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


def choose_template() -> Template:
    """What to draw."""
    chosen: Template = st.selectbox(
        "Figure", list(TITLES), format_func=TITLES.__getitem__, key="studio-template", persist_state="session"
    )
    return chosen


def choose_photos(view: View, template: Template) -> list[Photo]:
    """Which of the loaded images, or of the visitor's result files; the image on screen and the next by default."""
    if template is Template.ROBUSTNESS:
        return _choose_results()
    if template not in GRIDS and st.toggle(f"All {len(view.photos)} images", key="studio-all", persist_state="session"):
        return list(view.photos)
    by_key = {photo.key: photo for photo in view.photos}
    wanted = [view.photo.key, *(key for key in by_key if key != view.photo.key)]
    chosen = [key for key in st.session_state.get("studio-images", wanted[:_START]) if key in by_key]
    st.session_state["studio-images"] = chosen
    keys = st.multiselect(
        "Images",
        list(by_key),
        format_func=lambda key: by_key[key].title,
        key="studio-images",
        max_selections=MAX_ROWS,
        persist_state="session",
    )
    return [by_key[key] for key in keys]


def _choose_results() -> list[Photo]:
    """Result files to upload; none for those that lie beside the pair."""
    files = st.file_uploader(
        "Result files",
        type="jsonl",
        accept_multiple_files=True,
        key="studio-results",
        help="What `python -m explorer robustness` wrote of this very pair, one panel each. None: the results that "
        "lie beside the pair.",
    )
    return [
        Photo(file.name, file.name, hashlib.sha256(data := file.getvalue()).hexdigest(), "", partial(bytes, data))
        for file in files
    ]


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
        bar = st.progress(0.0, "Running the images …") if len(photos) > _START else None

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
