"""The figure studio's controls: what is drawn, of what, and the settings that its template reads."""

from __future__ import annotations

import hashlib
from functools import partial

import streamlit as st

from explorer.studio import TEMPLATES, Spec, Template
from explorer.studio.parse import from_settings
from explorer.studio.template import Takes
from explorer.ui.publish.settings import LOOK, PAGE, Asked
from explorer.ui.shell.session import Photo, View

MAX_ROWS = 24
"""Photographs in one figure; curves take any number."""
_START = 3


def choose(template: Template, depth: int, heads: int, prefix: tuple[str, ...] = ()) -> Spec:
    """The settings that the template reads. Raises `ExplorerError` for values that do not fit.

    `prefix` names the tokens before the patches.
    """
    asked = Asked(depth, heads, prefix)
    with st.container(border=True):
        st.markdown("**What is shown**")
        asked.ask(template, [name for name in template.settings if name not in (*LOOK, *PAGE)])
    if look := [name for name in LOOK if name in template.settings]:
        with st.expander("Look"):
            asked.ask(template, look)
    with st.expander("Page"):
        asked.ask(template, [name for name in PAGE if name in template.reads])
    return from_settings({"template": template, **asked.chosen})


def choose_template() -> Template:
    """What to draw."""
    template: Template = st.selectbox(
        "Figure",
        list(TEMPLATES.values()),
        format_func=lambda template: template.title,
        key="studio-template",
        persist_state="session",
    )
    return template


def choose_photos(view: View, template: Template) -> list[Photo]:
    """Which of the loaded images, or of the visitor's result files; the image on screen and the next by default."""
    if template.takes is Takes.RESULTS:
        return _choose_results()
    if not template.is_grid and st.toggle(f"All {len(view.photos)} images", key="studio-all", persist_state="session"):
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
    return [_result(file.name, file.getvalue()) for file in files]


def _result(name: str, data: bytes) -> Photo:
    """What the studio reads like a photograph."""
    return Photo(name=name, title=name, read=partial(bytes, data), key=name, digest=hashlib.sha256(data).hexdigest())
