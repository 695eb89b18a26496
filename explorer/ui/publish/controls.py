"""The figure studio's controls: what is drawn, of what, and the settings that matter to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from explorer.attribution.result import Method, method_called
from explorer.disturb.corruptions import corruption_called
from explorer.measures.residual import QUANTITIES
from explorer.studio import PRESETS, Spec, Template
from explorer.studio.spec import (
    ATTACKS,
    BASELINES,
    CORRUPTIONS,
    DISTURBED,
    GRIDS,
    METHODS,
    OF_OPERATOR,
    OPERATORS,
    PICTURES,
    SCALES,
    SETTINGS,
    from_told,
)  # fmt: skip
from explorer.ui.shell.session import Photo, View

_LAYERED = frozenset({Template.SPECTRUM}) | GRIDS - {Template.ATTRIBUTION, Template.ATTACK}
_ATTENTION = OF_OPERATOR | {Template.OPERATORS}
_NORMS = {"smoothed-residual": "‖A(V − AV)‖", "smoothed": "‖AV‖", "ratio": "ratio"}
_DEFAULTS: dict[str, Any] = {one.name: one.default for one in SETTINGS}
_HELP = {one.name: one.metadata["help"] for one in SETTINGS}


def choose(template: Template, depth: int, heads: int) -> Spec:
    """The settings that matter to the template. Raises `ExplorerError` for values that do not fit."""
    values: dict[str, Any] = {}
    with st.container(border=True):
        st.markdown("**What is shown**")
        values |= _content(template, depth, heads)
    if template in GRIDS - {Template.ATTACK}:
        with st.expander("Look"):
            values |= _look(template)
    with st.expander("Page"):
        values |= _page(template)
    return from_told({"template": template, **values})


def _content(template: Template, depth: int, heads: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if template in _LAYERED:
        picked = st.pills(
            "Layers",
            range(1, depth + 1),
            selection_mode="multi",
            key="studio-layers",
            persist_state="session",
            help="The same for all images. None: the last, for an evolution all, for spectra first, middle and last.",
        )
        values["layers"] = tuple(sorted(picked))
        values["heads"] = _segments("heads", ["mean", "max", "all", *(str(h) for h in range(1, heads + 1))])
    if template in OF_OPERATOR:
        values["operator"] = _segments("operator", list(OPERATORS), words=lambda one: OPERATORS[one].value)
    if template in _ATTENTION:
        values["query"] = _query()
    if template is Template.RESIDUAL:
        values["quantity"] = _segments("quantity", list(QUANTITIES), words=_NORMS.__getitem__)
    if template is Template.ATTRIBUTION:
        values |= _attribution()
    if template in (Template.ATTRIBUTION, Template.ATTACK):
        values["target"] = st.text_input(
            "Class",
            key="studio-target",
            placeholder="first choice of each model",
            help=_HELP["target"].capitalize() + ".",
            persist_state="session",
            max_chars=60,
        ).strip()
    if template is Template.CORRUPTION:
        values["corruption"] = st.selectbox(
            "Corruption",
            CORRUPTIONS,
            index=CORRUPTIONS.index(_DEFAULTS["corruption"]),
            format_func=lambda one: str(corruption_called(one)),
            key="studio-corruption",
            persist_state="session",
        )
        values["seed"] = _seed()
    if template is Template.ATTACK:
        values |= _attack()
    if template is Template.ROBUSTNESS:  # its files say everything else
        values["transfer"] = _toggle("transfer", "Transfer, where the files hold it")
    if template is Template.SIMILARITY:
        for name, label in (
            ("with_cls", "Prefix tokens"),
            ("absolute", "Absolute cosine"),
            ("with_diagonal", "i = j too"),
        ):
            values[name] = _toggle(name, label)
    if template is Template.DYNAMICS:
        steps = st.multiselect(
            "n",
            range(1, 49),
            default=(1, 2, 6, 12),
            key="studio-iterations",
            max_selections=12,
            persist_state="session",
        )
        values["iterations"] = tuple(sorted(steps)) or (1,)
    return values


def _attribution() -> dict[str, Any]:
    slider = partial(st.slider, persist_state="session")
    name: str = st.selectbox(
        "Method",
        METHODS,
        index=METHODS.index(_DEFAULTS["method"]),
        format_func=lambda one: str(method_called(one)),
        key="studio-method",
        persist_state="session",
    )
    method, values = method_called(name), dict[str, Any](method=name)
    if method.takes_baseline:
        values["baseline_picture"] = st.selectbox(
            "Baseline",
            BASELINES,
            key="studio-baseline_picture",
            help=_HELP["baseline_picture"].capitalize() + ".",
            persist_state="session",
        )
    if method is Method.INTEGRATED_GRADIENTS:
        values["path_steps"] = slider("Steps", 10, 200, _DEFAULTS["path_steps"], 10, key="studio-path_steps")
    if method is Method.OCCLUSION:
        values["square"] = int(_segments("square", ["1", "2", "3"]))
    if method is Method.GRADIENT_SHAP:
        values |= {"samples": slider("Samples", 4, 64, _DEFAULTS["samples"], 4, key="studio-samples"), "seed": _seed()}
    return values


def _attack() -> dict[str, Any]:
    number = partial(st.number_input, persist_state="session")
    values: dict[str, Any] = {
        "attack": _segments("attack", list(ATTACKS), words=str.upper),
        "eps": st.slider(
            "eps, 255ths", 0.0, 8.0, _DEFAULTS["eps"], 0.5, key="studio-eps", help=_HELP["eps"], persist_state="session"
        ),
    }
    if values["attack"] == "fgsm":
        return values
    step = number("Step, 255ths; 0: 2.5 eps / steps", 0.0, 8.0, 0.0, 0.05, key="studio-step_size")
    values |= {
        "steps": int(number("Steps", 1, 200, _DEFAULTS["steps"], key="studio-steps")),
        "step_size": step or None,
        "random_start": _toggle("random_start", "Random start"),
    }
    return values | ({"seed": _seed()} if values["random_start"] else {})


def _seed() -> int:
    return int(st.number_input("Seed", 0, 999_999, 0, key="studio-seed", persist_state="session"))


def _query() -> str:
    if _segments("query", ["CLS", "a patch"], help="Whose row is shown: CLS, or the patch at a place.") == "CLS":
        return "cls"
    down, across = (
        st.slider(label, 0.0, 1.0, 0.5, 0.01, key=f"studio-{label}", persist_state="session")
        for label in ("Down", "Across")
    )
    return f"{down:g},{across:g}"


def _look(template: Template) -> dict[str, Any]:
    return {
        "scale": _segments("scale", list(SCALES)),
        **({} if template in DISTURBED else {"picture": _segments("picture", list(PICTURES))}),
        "colour_map": _segments("colour_map", ["cividis", "viridis", "magma"]),
        "opacity": st.slider("Opacity", 0.0, 1.0, 0.85, 0.05, key="studio-opacity", persist_state="session"),
        "smooth": _toggle("smooth", "Smooth between patches"),
        "bare": _toggle("bare", "Maps without the photograph"),
    }


def _page(template: Template) -> dict[str, Any]:
    preset = st.selectbox(
        "For", list(PRESETS), format_func=lambda key: PRESETS[key].title, key="studio-preset", persist_state="session"
    )
    base = PRESETS[preset]
    number = partial(st.number_input, persist_state="session")
    values: dict[str, Any] = {
        "preset": preset,
        "width": number("Width, inches", 1.0, 50.0, base.width, 0.25, key=f"studio-width-{preset}"),
        "height": number("At most so high, inches", 1.0, 60.0, base.height, 0.25, key=f"studio-height-{preset}"),
        "dpi": number("Pixels per inch", 36, 1200, 300, 50, key="studio-dpi", help=_HELP["dpi"]),
        "font": st.selectbox(
            "Font",
            ["serif", "sans"],
            index=("serif", "sans").index(base.font),
            accept_new_options=True,
            key=f"studio-font-{preset}",
            help="Serif is STIX, like Times; sans DejaVu. Another name must be installed on the server.",
            persist_state="session",
        ),
        "font_size": number("Type, points", 4.0, 72.0, base.font_size, 0.5, key=f"studio-type-{preset}"),
        "letters": _toggle("letters", "Panel letters"),
    }
    same = {"width": base.width, "height": base.height, "font": base.font, "font_size": base.font_size}
    values = {name: None if same.get(name) == value else value for name, value in values.items()}
    if template in GRIDS:
        values |= {
            "row_labels": _toggle("row_labels", "Names of the images"),
            "column_labels": _toggle("column_labels", "Column headings"),
            **({} if template is Template.ATTACK else {"colour_bar": _toggle("colour_bar", "Colour bar")}),
        }
    first, second = (
        st.text_input(f"Name of the {role}", key=f"studio-name-{role}", persist_state="session", max_chars=60).strip()
        for role in ("baseline", "twicing model")
    )
    if bool(first) != bool(second):
        st.caption("Names are used when both are given.")
    return values | ({"names": (first, second)} if first and second else {})


def _segments(name: str, options: list[str], help: str | None = None, words: Callable[[str], str] | None = None) -> str:
    chosen: Any = st.segmented_control(
        name.replace("_", " ").capitalize(),
        options,
        default=_DEFAULTS[name] if _DEFAULTS[name] in options else options[0],
        format_func=words or str,
        key=f"studio-{name}",
        required=True,
        persist_state="session",
        help=help or _HELP[name].capitalize(),
    )
    return str(chosen)


def _toggle(name: str, label: str) -> bool:
    return bool(st.toggle(label, bool(_DEFAULTS[name]), key=f"studio-{name}", persist_state="session"))


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
