"""The figure studio's controls: what is drawn, of what, and the settings that its template reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from explorer.studio import TEMPLATES, Spec, Template
from explorer.studio.made import SUFFIXES
from explorer.studio.parse import from_settings
from explorer.studio.template import Takes
from explorer.ui import work
from explorer.ui.publish import compute
from explorer.ui.publish.settings import LOOK, PAGE, Asked
from explorer.ui.shell.session import Photo, View

MAX_ROWS = 24
"""Photographs in one figure; curves take any number."""
_START = 3


def choose(
    template: Template, depth: int, heads: int, prefix: tuple[str, ...] = (), input_size: int | None = None
) -> Spec:
    """The settings that the template reads. Raises `ExplorerError` for values that do not fit.

    `prefix` names the tokens before the patches; `input_size` is the view's, where it is not the models' own.
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
    return from_settings({"template": template, "input_size": input_size, **asked.chosen})


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


def files(view: View, spec: Spec, photos: Sequence[Photo]) -> None:
    """A button for each format; a file is drawn when it is asked for."""
    with st.container(horizontal=True):
        for suffix in SUFFIXES:
            _download(spec.template, suffix, compute.file(view, spec, photos, suffix))


def large_file(view: View, spec: Spec, photos: Sequence[Photo]) -> None:
    """One format, drawn under a bar that can be cancelled; then the button that saves it."""
    format_column, work_column = st.columns([2, 3], vertical_alignment="bottom")
    suffix = format_column.segmented_control(
        "File",
        SUFFIXES,
        default=SUFFIXES[0],
        required=True,
        format_func=lambda suffix: suffix.removeprefix(".").upper(),
        key="studio-format",
        persist_state="session",
    )
    data = compute.large_file(view, spec, photos, suffix, work.line(work_column))
    if data is not None:
        _download(spec.template, suffix, data)


def _download(template: Template, suffix: str, data: bytes | Callable[[], bytes]) -> None:
    st.download_button(
        suffix.removeprefix(".").upper(),
        data=data,
        file_name=f"{template.name}{suffix}",
        key=f"studio-save-{suffix}",
        on_click="ignore",
        help="All three formats, numbers, settings, caption and command." if suffix == ".zip" else None,
    )


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
